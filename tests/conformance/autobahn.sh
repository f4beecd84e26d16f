#!/usr/bin/env bash
# The Autobahn fuzzing client (RFC 6455) against the hub's own socket loop, which its `echo` example wraps.
#
#   autobahn.sh            quick cases with production limits, then all of 1-10 with 17 MiB limits, then compression
#   autobahn.sh URL        all but the large messages against a server that already runs on loopback
#
# It passes when no case fails, the non-strict ones are exactly those known (judge.py), and compression is refused.
# Needs a Python 2.7, the last one Autobahn runs on: PYTHON27=/path/to/python2.7, `python2.7`, or one under pyenv.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$PWD/target/autobahn
venv=$work/venv
mkdir -p "$work"
echo_pid=

stop_echo() {
  if [ -n "$echo_pid" ]; then
    kill "$echo_pid" 2>/dev/null || true
    wait "$echo_pid" 2>/dev/null || true
    echo_pid=
  fi
}
trap stop_echo EXIT

python27() {
  local candidate
  for candidate in "${PYTHON27:-}" "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "conformance: Autobahn needs a Python 2.7 and none was found. Set PYTHON27, or run: pyenv install 2.7.18" >&2
  return 1
}

install_autobahn() {
  [ -x "$venv/bin/wstest" ] && return
  local python
  python=$(python27)
  echo "conformance: installing Autobahn into target/autobahn (a few minutes, once)"
  # Python 2.7 has no venv module; this is the last virtualenv that serves it. It stays out of the user's site.
  "$python" -m pip install --quiet --disable-pip-version-check --no-warn-script-location \
    --target "$work/virtualenv" 'virtualenv==20.15.1' 2>"$work/install.log" || { cat "$work/install.log" >&2; return 1; }
  PYTHONPATH=$work/virtualenv "$python" -m virtualenv --quiet "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/conformance/requirements.txt \
    2>"$work/install.log" || { cat "$work/install.log" >&2; rm -rf "$venv"; return 1; }
}

start_echo() { # start_echo LIMITS: sets `url`
  local out=$work/echo.$1.out address=
  rm -f "$out" && mkfifo "$out"
  target/release/examples/echo --port 0 --limits "$1" >"$out" 2>"$work/echo.$1.err" &
  echo_pid=$!
  # The address is the first line; reading the pipe waits for it, and an exit ends the pipe.
  read -r -t 30 address <"$out" || { cat "$work/echo.$1.err" >&2; echo "conformance: the echo example did not start" >&2; return 1; }
  rm -f "$out"
  url=ws://${address##* }/
}

run() { # run NAME URL CASES_JSON EXCLUDED_JSON SECONDS
  local reports=$work/reports/$1
  rm -rf "$reports" && mkdir -p "$reports"
  printf '{"outdir":"%s","servers":[{"agent":"kabar","url":"%s"}],"cases":%s,"exclude-cases":%s}\n' \
    "$reports" "$2" "$3" "$4" >"$work/$1.json"
  # wstest ends with 0 even when cases fail, so only its report counts.
  (cd "$work" && timeout "$5" "$venv/bin/wstest" -m fuzzingclient -s "$work/$1.json") >"$work/$1.log" 2>&1 ||
    { tail -20 "$work/$1.log" >&2; echo "conformance: Autobahn did not finish '$1'" >&2; return 1; }
  python3 tests/conformance/judge.py "$1" "$reports/index.json"
}

install_autobahn
if [ $# -gt 0 ]; then
  case $1 in
    ws://127.0.0.1:* | ws://localhost:*) ;;
    *) echo "conformance: only a server on loopback is fuzzed" >&2; exit 2 ;;
  esac
  run quick "$1" '["*"]' '["9.*","12.*","13.*"]' 300
  exit
fi

cargo build --release --package hub --example echo
start_echo production
run quick "$url" '["*"]' '["9.*","12.*","13.*"]' 300
run compression "$url" '["12.1.1","13.1.1"]' '[]' 120
stop_echo
start_echo autobahn
run full "$url" '["*"]' '["12.*","13.*"]' 600
