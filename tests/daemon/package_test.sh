#!/usr/bin/env bash
# Installs the Debian package into a fresh root, runs it there as the user would, removes it, and
# looks for what it left. The root has the package's dependencies and nothing else of ours.
#   package_test.sh PACKAGE.deb        (as root; needs debootstrap)
set -euo pipefail
package=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

debootstrap --variant=minbase bookworm "$root" >/dev/null
before=$(cd "$root" && find . -xdev -not -path './var/*' -not -path './etc/ld.so.cache' | sort)
cp "$package" "$root/tmp/caretd.deb"
chroot "$root" apt-get install -y --no-install-recommends /tmp/caretd.deb >/dev/null
printf 'import json\n\n\ndef save(path, config):\n    with open(path, "w") as f:\n        \n' > "$root/tmp/a.py"
chroot "$root" caretd --version
chroot "$root" caretd complete /tmp/a.py:6:9 | tee "$root/tmp/out"
grep -q 'json.dump' "$root/tmp/out"
chroot "$root" caretd doctor --device cpu
chroot "$root" dpkg --purge caretd >/dev/null
left=$(cd "$root" && find . -xdev -path '*caretd*' -not -path './tmp/*' -not -path './var/*' | sort)
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
echo "installed, ran and left nothing (the root had $(wc -l <<<"$before") files before)"
