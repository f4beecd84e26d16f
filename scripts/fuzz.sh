#!/usr/bin/env bash
# Coverage-guided fuzzing of the parsers, SECONDS a target (60 unless told otherwise): scripts/fuzz.sh [SECONDS] [TARGET…]
# Works on the stable toolchain: the instrumentation is LLVM's own. What is found stays in fuzz/corpus; a crash is a
# failure and leaves its input behind.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[ "${#targets[@]}" -gt 0 ] || targets=(websocket frame signature)
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1"
host=$(rustc -vV | sed -n 's/^host: //p')
# With --target the flags spare build scripts and macros.
cargo build --locked --release --package fuzz --features libfuzzer --target "$host" --target-dir target/fuzz
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target"
  "target/fuzz/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="fuzz/crash-$target-" "fuzz/corpus/$target"
done
