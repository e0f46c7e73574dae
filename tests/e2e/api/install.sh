#!/usr/bin/env bash
# Installs the official client beside the tests, as the lock file says. Does nothing twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ ! node_modules/.package-lock.json -nt package-lock.json ] || exit 0
npm ci --ignore-scripts --fetch-retries=5 --no-audit --no-fund --loglevel=error
touch node_modules/.package-lock.json
