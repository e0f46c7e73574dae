#!/usr/bin/env bash
# Fetches the editors that the tests drive into .cache/editors: VS Code's server and workbench
# (code-server, from npm), two versions of Neovim and Helix (from Debian, unpacked privately). Also
# packages the extension; with the argument "extension" nothing else. Does nothing that is done already.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=$root/.cache/editors
code_server_version=4.100.3
mkdir -p "$cache"

# Chromium, tmux and patchelf come from the distribution (./dev installs them).

# code-server's own install script downloads and builds more than the tests need, so its modules
# are installed without scripts and only the native ones that the server loads are built.
install_code_server() {
  local folder=$cache/code-server
  [ ! -f "$folder/.complete-$code_server_version" ] || return 0
  rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
  echo '{"name":"code-server-cache","private":true}' > package.json
  npm install --ignore-scripts --fetch-retries=5 --no-save --no-audit --no-fund --loglevel=error \
    "code-server@$code_server_version"
  local server=$folder/node_modules/code-server vscode=$folder/node_modules/code-server/lib/vscode
  (cd "$vscode" && npm install --ignore-scripts --fetch-retries=5 --omit=dev --no-audit --no-fund --loglevel=error)
  ln -sfn node_modules "$vscode/node_modules.asar"
  (cd "$vscode/bin/remote-cli" && ln -sf code-linux.sh code-server)
  (cd "$vscode/bin/helpers" && ln -sf browser-linux.sh browser.sh)
  build_native "$vscode/node_modules/@vscode/spdlog"
  build_native "$vscode/node_modules/native-watchdog"
  build_native "$vscode/node_modules/@vscode/native-watchdog"
  build_native "$vscode/node_modules/node-pty"
  local argon2
  for argon2 in "$server/node_modules/argon2" "$folder/node_modules/argon2"; do
    build_native "$argon2" --module_name=argon2 --module_path=./lib/binding/napi-v3 \
      --napi_build_version=3
    [ ! -d "$argon2" ] || install -D "$argon2/build/Release/argon2.node" \
      "$argon2/lib/binding/napi-v3/argon2.node"
  done
  touch "$folder/.complete-$code_server_version"
}

# build_native FOLDER [GYP ARGUMENTS]: node-gyp from npm's own copy, headers from Node's prefix.
build_native() {
  local folder=$1
  shift
  [ -f "$folder/binding.gyp" ] || return 0
  ! compgen -G "$folder/prebuilds/linux-x64*/*.node" >/dev/null || return 0
  local gyp prefix
  gyp=$(node_gyp)
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  (cd "$folder" && node "$gyp" rebuild --nodedir="$prefix" "$@" > node-gyp.log 2>&1) ||
    { tail -20 "$folder/node-gyp.log" >&2; return 1; }
}

# npm brings node-gyp along; Debian has it in a package beside npm's.
node_gyp() {
  local npm candidate
  npm=$(dirname "$(readlink -f "$(command -v npm)")")/..
  for candidate in "$npm/node_modules/node-gyp" "$npm/../node-gyp" /usr/share/nodejs/node-gyp; do
    [ ! -f "$candidate/bin/node-gyp.js" ] || { echo "$candidate/bin/node-gyp.js"; return; }
  done
  echo "install.sh: node-gyp is not beside npm" >&2
  return 1
}

# unpack_debian NAME SUITE PACKAGE PROGRAM: a package of a Debian suite with its own libraries and
# loader, fetched with a private package database so that the system's is left alone.
unpack_debian() {
  local folder=$cache/$1 suite=$2 name=$3 program=$4
  rm -rf "$folder"
  local apt=$folder/apt mirror
  mkdir -p "$apt"/etc/apt/{apt.conf.d,preferences.d} "$apt"/var/lib/apt/lists/partial \
    "$apt"/var/cache/apt/archives/partial "$apt"/var/lib/dpkg "$folder"/{root,bin}
  : > "$apt/var/lib/dpkg/status"
  mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '/^URIs:/{print $2; exit}')
  [ -n "$mirror" ] || mirror=$(awk '$1=="deb"{for(i=2;i<=NF;++i) if ($i ~ /:\/\//) {print $i; exit}}' \
    /etc/apt/sources.list)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
    > "$apt/etc/apt/sources.list"
  cat > "$apt/apt.conf" <<END
Dir "$apt";
Dir::State::status "$apt/var/lib/dpkg/status";
Acquire::Languages "none";
Acquire::Retries "5";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
Debug::NoLocking "1";
END
  APT_CONFIG=$apt/apt.conf apt-get -qq update
  APT_CONFIG=$apt/apt.conf apt-get -qqy --no-install-recommends --download-only install "$name"
  local package
  for package in "$apt"/var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder/root" --keep-directory-symlink \
      --exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man
  done
  # Neovim starts itself again through /proc/self/exe, so the loader is set in the program.
  local libraries
  libraries=$folder/root/usr/lib/$(uname -m)-linux-gnu
  patchelf --set-interpreter "$(echo "$libraries"/ld-linux-*.so.?)" --force-rpath \
    --set-rpath "$libraries" "$folder/root/$program"
  rm -rf "$apt"
}

# install_neovim NAME SUITE
install_neovim() {
  local folder=$cache/$1
  [ ! -x "$folder/bin/nvim" ] || return 0
  unpack_debian "$1" "$2" neovim usr/bin/nvim
  printf '#!/bin/sh\nVIMRUNTIME=%s exec %s "$@"\n' "$folder/root/usr/share/nvim/runtime" \
    "$folder/root/usr/bin/nvim" > "$folder/bin/nvim"
  chmod +x "$folder/bin/nvim"
}

install_helix() {
  local folder=$cache/helix
  [ ! -x "$folder/bin/hx" ] || return 0
  unpack_debian helix trixie hx usr/lib/hx/hx
  ln -s ../root/usr/lib/hx/hx "$folder/bin/hx"
}

install_modules() {
  local folder=$1
  [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ] && return 0
  (cd "$folder" && npm ci --ignore-scripts --fetch-retries=5 --no-audit --no-fund --loglevel=error)
  touch "$folder/node_modules/.package-lock.json"
}

package_extension() {
  install_modules "$root/editors/vscode"
  cmp -s "$root/LICENSE" "$root/editors/vscode/LICENSE" ||
    cp "$root/LICENSE" "$root/editors/vscode/LICENSE"
  mkdir -p "$root/build/editors"
  local vsix=$root/build/editors/caretd.vsix
  [ -n "$(find "$root/editors/vscode" -newer "$vsix" -not -path '*/node_modules*' -not -path '*/dist*' \
    -type f -print -quit 2>&1)" ] || return 0
  (cd "$root/editors/vscode" && npm run --silent build &&
    npx vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links \
      --out "$vsix" > /dev/null)
}

if [ "${1:-}" = extension ]; then
  package_extension
  exit
fi
install_modules "$here"
install_code_server
install_neovim neovim-0.12 forky
install_neovim neovim-0.10 trixie
install_helix
package_extension
