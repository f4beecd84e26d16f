//! Where PostgreSQL's programs are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::MAJOR_MIN;

/// `initdb` and `postgres` of one installation.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// `None` means that the shell's path leads to them.
    bin: Option<PathBuf>,
}

impl Programs {
    /// The path's own, if they are new enough, else the newest installed in one of the usual places.
    pub(super) fn find() -> Option<Self> {
        let on_path = Self { bin: None };
        if on_path.major().is_some_and(|major| major >= MAJOR_MIN) {
            return Some(on_path);
        }
        let usual = [
            ("/usr/lib/postgresql", "bin"),
            ("/opt/homebrew/opt", "bin"),
            ("/usr/local/opt", "bin"),
            ("/usr", "bin"),
            ("/usr/local", "bin"),
        ];
        let mut found: Vec<(u32, Self)> = usual
            .iter()
            .flat_map(|(parent, bin)| installations(Path::new(parent), bin))
            .map(|bin| Self { bin: Some(bin) })
            .filter_map(|programs| Some((programs.major()?, programs)))
            .filter(|(major, _)| *major >= MAJOR_MIN)
            .collect();
        found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        found.into_iter().map(|(_, programs)| programs).next()
    }

    /// A command that runs one of them.
    pub(super) fn command(&self, name: &str) -> Command {
        match &self.bin {
            Some(bin) => Command::new(bin.join(name)),
            None => Command::new(name),
        }
    }

    /// The major version; `None` unless both programs are there and agree.
    fn major(&self) -> Option<u32> {
        let major = |name| {
            let output = self.command(name).arg("--version").stdin(Stdio::null()).output().ok()?;
            parse_major(&String::from_utf8_lossy(&output.stdout))
        };
        major("postgres").filter(|postgres| major("initdb") == Some(*postgres))
    }
}

/// Directories of `parent` that look like an installation: a version (`17`), or named after the product.
fn installations(parent: &Path, bin: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.bytes().all(|byte| byte.is_ascii_digit())
                || name.starts_with("postgresql")
                || name.starts_with("pgsql")
        })
        .map(|entry| entry.path().join(bin))
        .filter(|bin| bin.join("postgres").exists())
        .collect()
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`.
fn parse_major(output: &str) -> Option<u32> {
    let version = output.split_once("(PostgreSQL) ")?.1;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_the_programs_say() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("initdb (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(parse_major("something else 3"), None);
    }
}
