#!/usr/bin/env bash
# Who may import whom (docs/architecture.md), executed: a forbidden edge fails, and so does a crate that is gone,
# which would make every "is not there" true for nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

depends() { # whether CRATE's normal dependencies, however deep, hold OTHER
  # Read to the end: a pipe cut short would look like an error of cargo's.
  cargo tree --quiet --locked --package "$1" --edges normal --prefix none --format '{lib}' | grep -cx "${2//-/_}" >/dev/null
}
must() {
  depends "$1" "$2" || { echo "edges: $1 no longer depends on $2; if that is right, change scripts/edges.sh"; failed=1; }
}
must_not() {
  ! depends "$1" "$2" || { echo "edges: $1 must not depend on $2 (docs/architecture.md)"; failed=1; }
}

must store diesel
must api actix-web
must api jsonwebtoken
must hub dashmap
must client tokio-tungstenite
must webhooks reqwest
must webhooks store
must notify minijinja
must delivery lettre
must delivery store
must delivery webhooks

for crate in protocol hub client notify; do
  must_not "$crate" diesel
  must_not "$crate" r2d2
done
must_not hub jsonwebtoken
must_not store actix-web
must_not store actix-http
for crate in protocol store hub client webhooks notify delivery; do must_not "$crate" jsonwebtoken; done
for crate in protocol store client webhooks notify delivery; do must_not "$crate" dashmap; done
must_not protocol tokio
for crate in protocol hub client webhooks; do must_not "$crate" minijinja; done
for other in tokio reqwest actix-http store; do must_not notify "$other"; done
must_not client actix-http
must_not webhooks actix-http
must_not delivery actix-http
must_not delivery actix-web
for crate in protocol hub store client api webhooks notify; do must_not "$crate" delivery; done
for crate in protocol hub store client api webhooks notify; do must_not "$crate" lettre; done
for crate in protocol hub store api client webhooks notify delivery testkit; do must_not "$crate" server; done
for crate in protocol hub store api client webhooks notify delivery server; do must_not "$crate" testkit; done
for crate in protocol store client webhooks notify delivery; do must_not "$crate" hub; done
for crate in protocol hub store client api notify; do must_not "$crate" webhooks; done
must_not hub store
must_not hub api

# Only the server's configuration reads the environment; testkit is for tests alone.
if grep -rnE 'std::env::|\benv::vars?\b' crates/{protocol,hub,store,api,client,webhooks,notify,delivery}/src; then
  echo "edges: only crates/server reads the environment"
  failed=1
fi
[ "$failed" -eq 0 ] && echo "edges: every import is allowed"
exit "$failed"
