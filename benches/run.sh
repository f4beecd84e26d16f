#!/usr/bin/env bash
# Measures kabar against the naive server, side by side, and prints the table of docs/performance.md's bars.
#
#   benches/run.sh [ROUNDS]        2 rounds unless told otherwise; each is naive, then kabar
#
# KABAR and LOAD name the release binaries, PORT the first of the two ports that kabar gets. All on loopback.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-2}
target=${CARGO_TARGET_DIR:-target}
kabar=${KABAR:-$target/release/kabar}
load=${LOAD:-$target/release/load}
port=${PORT:-18180}
jwt_secret=a-secret-for-measuring-only-of-no-worth
app_secret=a-secret-for-measuring-only
dir=$(mktemp -d)
# As root, Postgres runs as another user, who has to get through to its own directory.
chmod 711 "$dir"
lines=$dir/lines.json
naive_pid='' kabar_pid='' idle_pid=''

stop() {
  trap - EXIT INT TERM
  [ -z "$idle_pid" ] || kill "$idle_pid" 2>/dev/null || true
  [ -z "$naive_pid" ] || kill "$naive_pid" 2>/dev/null || true
  # kabar stops its Postgres before it ends: waited for, so that nothing is left behind.
  if [ -n "$kabar_pid" ] && kill "$kabar_pid" 2>/dev/null; then wait "$kabar_pid" || true; fi
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

[ -x "$kabar" ] && [ -x "$load" ] || { echo "build first: cargo build --release -p server -p benches" >&2; exit 1; }

cat >"$dir/kabar.toml" <<TOML
[server]
public = "127.0.0.1:$port"
internal = "127.0.0.1:$((port + 1))"
drain_seconds = 0
[[apps]]
id = "1"
key = "bench-key"
secret = "$app_secret"
[auth]
jwt_secret = "$jwt_secret"
[database]
data_dir = "$dir/data"
[log]
level = "warn"
TOML

ready() { # ready PORT PATH: whether it answers 200
  local line
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
  read -r line <&3 || line=''
  exec 3>&-
  [[ $line == *" 200 "* ]]
}

# Kept open files would be inherited: each server gets the limit that it may have.
ulimit -n "$(ulimit -Hn)"
"$load" naive --port 0 >"$dir/naive" &
naive_pid=$!
"$kabar" --config "$dir/kabar.toml" serve >"$dir/kabar.log" 2>&1 &
kabar_pid=$!
for _ in $(seq 600); do
  if ready $((port + 1)) /health/ready && [ -s "$dir/naive" ]; then break; fi
  kill -0 "$kabar_pid" 2>/dev/null || { cat "$dir/kabar.log" >&2; exit 1; }
  sleep 0.1
done
ready $((port + 1)) /health/ready || { echo "kabar did not get ready:" >&2; cat "$dir/kabar.log" >&2; exit 1; }
naive_addr=$(sed 's/listening on //' "$dir/naive")

run() { # run SERVER RUN WORK ARGUMENTS...
  local server=$1 name=$2 work=$3 addr=127.0.0.1:$port pid=$kabar_pid
  shift 3
  if [ "$server" = naive ]; then addr=$naive_addr pid=$naive_pid; fi
  "$load" "$work" --addr "$addr" --pid "$pid" --label "$server/$name" --app-key bench-key --app-secret "$app_secret" "$@" |
    tee -a "$lines"
}

# First of all: a process that has served before holds memory that these sockets would find ready.
run kabar idle idle --sockets 10000 --seconds 2
for _ in $(seq "$rounds"); do
  for server in naive kabar; do
    run "$server" saturated fanout --sockets 1000 --seconds 5
    run "$server" rated fanout --sockets 1000 --rate 20 --seconds 5
    run "$server" rooms rooms --rooms 500 --of 2 --seconds 5
    run "$server" growth fanout --sockets 19000 --rate 1 --seconds 8
  done
  run kabar channels rooms --rooms 500 --of 2 --seconds 5 --others 100000
  run kabar calm fanout --sockets 999 --rate 20 --bytes 8192 --seconds 5
  run kabar stalled fanout --sockets 999 --rate 20 --bytes 8192 --seconds 5 --stalled 1
  run kabar storm storm --sockets 10000 --seconds 6

  # Chat beside 10,000 sockets that do nothing; then the same statement from pgbench, with as many connections.
  "$load" idle --addr "127.0.0.1:$port" --pid "$kabar_pid" --app-key bench-key --sockets 10000 --seconds 20 >"$dir/idle" &
  idle_pid=$!
  sleep 6
  run kabar chat chat --jwt-secret "$jwt_secret" --rooms 50 --window 10 --seconds 8
  wait "$idle_pid"
  idle_pid=''
  pgbench=$(command -v pgbench || compgen -G '/usr/lib/postgresql/*/bin/pgbench' | tail -1 || true)
  psql=$(command -v psql || compgen -G '/usr/lib/postgresql/*/bin/psql' | tail -1 || true)
  if [ -n "$pgbench" ] && [ -n "$psql" ]; then
    export PGHOST=$dir/data/run PGDATABASE=kabar PGUSER=${BENCH_PGUSER:-kabar}
    "$psql" -q -v ON_ERROR_STOP=1 -v rooms=50 -f benches/pgbench/setup.sql
    tps=$("$pgbench" -n -M prepared -c 10 -j 2 -T 8 -D rooms=50 -f benches/pgbench/chat_send.sql 2>/dev/null |
      sed -n 's/^tps = \([0-9.]*\).*/\1/p' | tail -1)
    echo "{\"work\":\"pgbench\",\"label\":\"pgbench/chat\",\"publishes_per_s\":${tps:-0}}" | tee -a "$lines"
  else
    echo "pgbench is not installed: chat is not compared" >&2
  fi
done

echo
"$load" table "$lines"
