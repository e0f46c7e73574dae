#!/usr/bin/env bash
# Checks what the editor clients are written in: TypeScript strict and linted, its unit tests, Lua
# formatted and linted, the bounds on the length of files.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)

cd "$root/editors/vscode"
npm run --silent check
npm run --silent test
cd "$root"
node "$here/format_lua.mjs" --check
luacheck --quiet --config editors/neovim/.luacheckrc editors/neovim
longest=$(find editors/neovim editors/vscode/src \( -name '*.lua' -o -name '*.ts' \) -exec wc -l {} + |
  awk '$2 != "total" && $1 > 300')
[ -z "$longest" ] || { echo "longer than 300 lines: $longest" >&2; exit 1; }
