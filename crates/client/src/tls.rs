//! Which cryptography TLS uses.

use std::sync::Once;

/// Makes ring the process's provider unless the program has chosen one before.
pub(crate) fn prepare() {
    static ONCE: Once = Once::new();
    // An error means that the program has its own choice, which stays.
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
