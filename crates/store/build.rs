//! The migrations are built into the crate; a new one must rebuild it.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
