//! The operating system's limits for this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to the hard one: every socket is a file.
pub(crate) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(files) => tracing::debug!(files, "open files are limited to {files}"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}
