#!/bin/bash
# Does the main job on a real image and verifies the result of each step: make or take an image,
# inspect it, convert it to compressed qcow2, make an overlay on it, copy it, extract the content of
# the overlay, compare the bytes, read a file out of the image, list the operations, and stop the
# daemon. Everything happens in a scratch folder.
#   scripts/demo.sh [IMAGE]     IMAGE: a raw disk image to use instead of one made of this machine's own files
set -eu -o pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
PATH="$here/node_modules/.bin:$PATH:/usr/sbin:/sbin"
image=${1:-}
[ -z "$image" ] || image=$(readlink -f "$image")
scratch=$(mktemp -d "${TMPDIR:-/tmp}/hostler-demo.XXXXXX")
daemon=
finish() {
  local code=$?
  [ -z "$daemon" ] || kill -KILL "$daemon" 2>/dev/null || true
  rm -rf "$scratch"
  [ "$code" = 0 ] && echo "DEMO OK" || echo "DEMO FAILED" >&2
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }
hostler() { "$here/bin/hostler" --address "unix://$scratch/hostler.sock" "$@"; }
# One field of a JSON answer: field FILE EXPRESSION
field() { node -e 'const j = JSON.parse(require("fs").readFileSync(0, "utf8")); console.log(eval("j." + process.argv[1]))' "$1"; }

images="$scratch/images"
mkdir "$images"
cat >"$scratch/hostler.toml" <<TOML
state_dir = "$scratch/state"
[server]
listen = ["unix://$scratch/hostler.sock"]
http = ""
[[roots]]
path = "$images"
TOML

say "1. The daemon"
"$here/bin/hostlerd" --config "$scratch/hostler.toml" >"$scratch/log" 2>&1 &
daemon=$!
for _ in $(seq 100); do grep -q '"SERVING"' "$scratch/log" && break; sleep 0.1; done
grep -q '"SERVING"' "$scratch/log" || { cat "$scratch/log" >&2; fail "the daemon did not start"; }
echo "serving on $scratch/hostler.sock"

say "2. An image"
disk="$images/disk.raw"
probe=
if [ -n "$image" ]; then
  cp --sparse=always "$image" "$disk"
  echo "taken from $image"
else
  # A filesystem with files of this machine: about 300 MiB in a disk of 2 GiB. mke2fs stops at a file
  # that it cannot read, so only readable files are staged.
  mkdir "$scratch/tree"
  probe=/etc/os-release
  sources=(etc/os-release etc/passwd usr/bin usr/sbin usr/share/doc usr/share/perl usr/share/zoneinfo usr/lib/x86_64-linux-gnu)
  existing=()
  for name in "${sources[@]}"; do [ -e "/$name" ] && existing+=("$name"); done
  # Up to about 300 MiB; tar skips files that it cannot read.
  (cd / && find "${existing[@]}" -xdev -type f -readable -size -4096k ! -name $'*\n*' -printf '%s\t%p\n' 2>/dev/null || true) |
    awk -F '\t' '{ total += $1; if (total < 300 * 1048576) print $2 }' |
    tar -C / --verbatim-files-from --files-from=- --ignore-failed-read --hard-dereference -cf - 2>/dev/null |
    tar -C "$scratch/tree" --no-same-owner -xf -
  cp -L "$probe" "$scratch/tree/etc/os-release"
  truncate -s 2G "$disk"
  mke2fs -q -t ext4 -d "$scratch/tree" "$disk"
  rm -rf "$scratch/tree"
  echo "built with mke2fs from files of this machine"
fi
hostler image info "$disk" -f raw

say "3. Convert to compressed qcow2 (zstd)"
hostler image convert "$disk" "$images/base.qcow2" -f raw -O qcow2 -c --compression-type zstd
qemu-img check -q "$images/base.qcow2" || fail "qemu-img check does not like the converted image"
[ "$(hostler --json image info "$images/base.qcow2" -f qcow2 | field info.compressionType)" = zstd ] || fail "the image is not compressed with zstd"

say "4. An overlay on it"
hostler image overlay "$images/vm.qcow2" "$images/base.qcow2" -F qcow2
hostler image inspect "$images/vm.qcow2" -f qcow2
[ "$(hostler --json image info "$images/vm.qcow2" -f qcow2 | field info.fullBackingFile)" = "$images/base.qcow2" ] || fail "the overlay names another base"

say "5. Copy it"
hostler image copy "$images/base.qcow2" "$images/copy.qcow2" --verify
cmp "$images/base.qcow2" "$images/copy.qcow2" || fail "the copy differs"

say "6. Extract the overlay's content"
hostler image extract "$images/vm.qcow2" "$images/extracted.raw" -f qcow2 -O raw

say "7. Compare the bytes"
qemu-img compare -f raw -F raw "$disk" "$images/extracted.raw" || fail "what came out is not what went in"
before=$(stat -c %b "$disk") after=$(stat -c %b "$images/extracted.raw")
echo "on disk: $((before / 2)) KiB before, $((after / 2)) KiB after"
if [ -n "$probe" ]; then
  debugfs -R "dump $probe $scratch/read-back" "$images/extracted.raw" 2>/dev/null
  cmp "$probe" "$scratch/read-back" || fail "the file read back out of the image differs"
  echo "$probe read back out of the image: $(head -n 1 "$scratch/read-back")"
fi

say "8. The operations"
hostler ops ls
[ "$(hostler --json ops ls --state succeeded | field operations.length)" = 4 ] || fail "not every operation succeeded"

say "9. Stop"
kill -TERM "$daemon"
wait "$daemon" || fail "the daemon ended with code $?"
daemon=
left=$(find "$images" -name '.hostler-*')
[ -z "$left" ] || fail "left behind: $left"
[ ! -e "$scratch/hostler.sock" ] || fail "the socket is still there"
echo "the daemon ended cleanly, nothing is left behind"
