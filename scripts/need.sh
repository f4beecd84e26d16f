#!/usr/bin/env bash
# Makes sure that what a task needs is on this machine: need.sh cc postgres node python chromium
#
# As root on Debian or Ubuntu, what is missing is installed. Anybody else is told the one command to run. What is
# already there, whatever version and wherever from, is left alone.
set -euo pipefail

packages=()

want() { # want COMMAND PACKAGE...: the packages, if the command is missing
  local command=$1
  shift
  command -v "$command" >/dev/null 2>&1 || packages+=("$@")
}

need() {
  case $1 in
    # libpq and OpenSSL are built from source and linked in: perl and make are OpenSSL's.
    cc) want cc gcc libc6-dev && want make make && want perl perl ;;
    node) want node nodejs && want npm npm ;;
    python)
      # Debian splits venv off: the interpreter alone cannot make one.
      if ! command -v python3 >/dev/null 2>&1 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        packages+=(python3 python3-venv)
      fi
      ;;
    postgres)
      # Servers live outside PATH on Debian.
      if ! command -v initdb >/dev/null 2>&1 && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        packages+=(postgresql)
      fi
      ;;
    chromium)
      # A browser is a lot to ask for: where it cannot be installed, the tests that want one are skipped.
      if ! command -v chromium >/dev/null 2>&1 && ! command -v chromium-browser >/dev/null 2>&1 \
        && ! command -v google-chrome >/dev/null 2>&1; then
        if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
          packages+=(chromium)
        else
          echo "No chromium: the tests in a real browser are skipped. For them: sudo apt-get install -y chromium" >&2
        fi
      fi
      ;;
    *) echo "need.sh: unknown need '$1' (cc, node, python, postgres, chromium)" >&2; exit 2 ;;
  esac
}

for name in "$@"; do need "$name"; done
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "Missing: ${packages[*]}. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Missing: ${packages[*]} (Debian's names). Install them with this system's package manager." >&2
  exit 1
fi

echo "Installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
# Debian would start a cluster of its own on port 5432; kabar brings up its own, private one.
if [[ " ${packages[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
