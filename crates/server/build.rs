//! Puts the stock pusher-js into the binary where `npm ci` in `page/` has brought it; the page says so where not.

use std::path::Path;
use std::{env, fs};

fn main() {
    let source = "page/node_modules/pusher-js/dist/web/pusher.min.js";
    // Cargo would rebuild every time for a path that does not exist; the lock file changes when npm has been run.
    println!("cargo::rerun-if-changed=page/package-lock.json");
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["page/node_modules", source] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // A directory's time changes when node_modules comes into it.
    println!("cargo::rerun-if-changed=page");
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("pusher.min.js");
    let script = fs::read(source).unwrap_or_default();
    fs::write(out, script).expect("OUT_DIR can be written");
}
