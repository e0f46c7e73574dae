#!/usr/bin/env bash
# Installs the Debian package into a bare root, runs it there as a user would, removes it, and looks
# for what it left. As root.
#   package_test.sh PACKAGE.deb [BARE_ROOT]
# BARE_ROOT is a Debian root to work on a copy of; without it debootstrap makes one.
set -euo pipefail
package=$(realpath "$1")
root=$(mktemp -d)

leave() {
  umount "$root/proc" "$root/dev" 2>/dev/null || true
  rm -rf --one-file-system "$root"
}
trap leave EXIT

fail() { printf 'package_test: %s\n' "$*" >&2; exit 1; }
inside() { chroot "$root" env -i HOME=/srv/user PATH=/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8 "$@"; }
as_user() { inside setpriv --reuid=1234 --regid=1234 --clear-groups "$@"; }

# Everything but what belongs to the package manager and to the run itself.
listing() {
  (cd "$root" && find . -xdev \( -path ./var -o -path ./tmp -o -path ./proc -o -path ./dev \
    -o -path ./srv -o -path ./run \) -prune -o -not -name ld.so.cache -print | sort)
}

if [ -n "${2:-}" ]; then
  cp -a --one-file-system "$2/." "$root/"
else
  debootstrap --variant=minbase bookworm "$root" >/dev/null
fi
mkdir -p "$root/proc" "$root/dev"
mount --bind /proc "$root/proc"
mount --bind /dev "$root/dev"
install -d -o 1234 -g 1234 "$root/srv/user"
inside apt-get update -qq
# Not needed by the package, but it knows whether the units are right.
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd >/dev/null
inside apt-mark manual systemd >/dev/null
before=$(listing)

cp "$package" "$root/tmp/caretd.deb"
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  /tmp/caretd.deb >/dev/null
as_user caretd --version
[ "$(as_user sh -c 'command -v caretd')" = /usr/bin/caretd ] || fail "not on the PATH"

printf 'import json\n\n\ndef save(path, config):\n    with open(path, "w") as f:\n        \n' > "$root/srv/user/a.py"
as_user caretd complete /srv/user/a.py:6:9 | tee "$root/tmp/completion"
grep -q 'json.dump' "$root/tmp/completion" || fail "no completion"
as_user caretd doctor --set model.device=cpu || fail "the doctor found a problem"
as_user caretd daemon start
as_user caretd daemon status
as_user caretd daemon stop

for file in share/man/man1/caretd.1.gz share/bash-completion/completions/caretd \
            share/zsh/vendor-completions/_caretd share/fish/vendor_completions.d/caretd.fish \
            lib/systemd/user/caretd.service lib/systemd/user/caretd.socket \
            share/caretd/models/tiny/config.json share/doc/caretd/copyright; do
  [ -s "$root/usr/$file" ] || fail "/usr/$file is missing"
done
inside bash -n /usr/share/bash-completion/completions/caretd
inside env XDG_RUNTIME_DIR=/tmp systemd-analyze --user verify --man=no \
  /usr/lib/systemd/user/caretd.socket /usr/lib/systemd/user/caretd.service || fail "a unit is wrong"

inside dpkg --purge caretd >/dev/null
inside apt-get autoremove -y -qq --purge >/dev/null
left=$(comm -13 <(echo "$before") <(listing))
[ -z "$left" ] || fail "left behind: $left"
echo "installed, ran and left nothing"
