#!/usr/bin/env bash
# Checks docker-compose.yml and Dockerfile without pulling an image or needing a Docker daemon.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/compose-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/compose/requirements.txt
"$venv/bin/python" -m unittest discover --start-directory tests/compose

if docker compose version >/dev/null 2>&1; then
  POSTGRES_PASSWORD=x KABAR_JWT_SECRET=x KABAR_APP_ID=1 KABAR_APP_KEY=x KABAR_APP_SECRET=x KABAR_API_KEY=x \
    docker compose --file docker-compose.yml config --quiet
fi
