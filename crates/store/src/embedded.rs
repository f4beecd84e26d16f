//! A private Postgres that kabar starts and stops with itself: `database.url = "embedded"`.
use std::path::Path;

/// A running private cluster; stopped when dropped.
#[derive(Debug)]
pub struct Embedded;
/// Why there is no private Postgres. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {}
impl Embedded {
    /// Starts the cluster in `data_dir`, made if it is not there. Blocks for a second or two.
    pub fn start(data_dir: &Path) -> Result<Embedded, EmbeddedError> {
        todo!()
    }
    /// For [`crate::Config::url`].
    pub fn url(&self) -> String {
        todo!()
    }
    /// Stops it: open transactions are rolled back. Blocks.
    pub fn stop(self) {
        todo!()
    }
}
