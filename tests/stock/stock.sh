#!/usr/bin/env bash
# Stock Pusher clients, unmodified from their registries, against the built binary (target/debug/kabar or KABAR_BIN).
set -euo pipefail
cd "$(dirname "$0")"

npm ci --silent
options=(--test-concurrency=3)
# pusher-js for node leaves a timer of 30 seconds behind when it closes inside of a close. Older nodes wait for it.
[[ $(node --help) != *--test-force-exit* ]] || options+=(--test-force-exit)
node --test "${options[@]}" ./*.test.js

venv=$(cd ../.. && pwd)/target/stock-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
node serve.js "$venv/bin/python" -m unittest -v test_pusher_python test_pysher
