//! Secrets that kabar makes for itself, kept in `database.data_dir` so that tokens survive a restart.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

const FILE: &str = "secrets.json";

/// What is kept. Made once, never changed.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Signs users' tokens where the configuration has no key.
    pub(crate) jwt_secret: SecretString,
    /// Of the demo's app, where the configuration has no app.
    pub(crate) demo_app_key: String,
    /// Of the demo's app, where the configuration has no app.
    pub(crate) demo_app_secret: SecretString,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    jwt_secret: String,
    demo_app_key: String,
    demo_app_secret: String,
}

impl From<Stored> for Kept {
    fn from(stored: Stored) -> Self {
        Self {
            jwt_secret: stored.jwt_secret.into(),
            demo_app_key: stored.demo_app_key,
            demo_app_secret: stored.demo_app_secret.into(),
        }
    }
}

/// Random letters and digits, `bytes` of randomness in them.
///
/// # Panics
/// Where the operating system has no randomness to give: nothing secret could be made then.
pub(crate) fn random(bytes: usize) -> SecretString {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).expect("the operating system gives random bytes");
    buffer.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The secrets of this directory; made, for the owner's eyes only, when they are not there.
///
/// # Errors
/// The directory cannot be written, or the file is not ours.
pub(crate) fn keep_in(data_dir: &Path) -> anyhow::Result<Kept> {
    fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let path = data_dir.join(FILE);
    let plain = |bytes| random(bytes).expose_secret().to_owned();
    let fresh = Stored { jwt_secret: plain(32), demo_app_key: plain(10), demo_app_secret: plain(20) };
    // Written aside and linked: two that start at once end up with the same file, and nobody sees half of it.
    let aside = data_dir.join(format!("{FILE}.{}", std::process::id()));
    if !path.exists() {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(&serde_json::to_vec_pretty(&fresh)?)?;
        file.sync_all()?;
        let linked = fs::hard_link(&aside, &path);
        fs::remove_file(&aside)?;
        if let Err(error) = linked
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|_| anyhow::anyhow!("{} is not what kabar wrote", path.display()))?;
    Ok(stored.into())
}

/// The secrets that go with these settings: kept where any is needed, and nowhere else.
///
/// # Errors
/// See [`keep_in`].
pub(crate) fn of(settings: &Settings) -> anyhow::Result<Kept> {
    if settings.keeps_own_secret() || (settings.demo && settings.apps.is_empty()) {
        return keep_in(&settings.database.data_dir);
    }
    // All are configured, so nobody will read these.
    Ok(Kept { jwt_secret: random(32), demo_app_key: String::new(), demo_app_secret: random(20) })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = keep_in(dir.path()).unwrap();
        let again = keep_in(dir.path()).unwrap();
        assert_eq!(first.jwt_secret.expose_secret(), again.jwt_secret.expose_secret());
        assert_eq!(first.jwt_secret.expose_secret().len(), 64);
        let file = fs::metadata(dir.path().join(FILE)).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(first.jwt_secret.expose_secret()));
    }
}
