#!/bin/bash
# Builds the package of the commit before this one, with a version before all others, into a folder,
# and prints its path. Where git has no such commit, or it has no package, this checkout is packed with
# that version; it says so on standard error.
#   scripts/package/previous.sh FOLDER
set -eu -o pipefail
cd "$(dirname "$0")/../.."
here=$PWD
PATH="$here/node_modules/.bin:$PATH"
folder=$1
export DEB_VERSION=0~previous
mkdir -p "$folder"
if git cat-file -e HEAD~1:scripts/package/deb.sh 2>/dev/null; then
  mkdir "$folder/checkout"
  git archive HEAD~1 | tar -C "$folder/checkout" -xf -
  cd "$folder/checkout"
  ln -s "$here/node_modules" node_modules
  scripts/generate.sh code >&2
  mapfile -t sources < <(find src conformance scripts/package -name '*.ts')
  mapfile -t common < <(find src scripts -name '*.cts')
  # Its types were checked when it was the newest.
  compile=(esbuild --outdir=dist --outbase=. --platform=node --target=node24)
  {
    "${compile[@]}" "${sources[@]}" --format=esm &&
      { [ ${#common[@]} = 0 ] || "${compile[@]}" "${common[@]}" --format=cjs --out-extension:.js=.cjs; } &&
      scripts/bundle.sh && npx buf build --config buf.daemon.yaml --as-file-descriptor-set -o dist/hostler.binpb
  } >&2
else
  echo "there is no package of the commit before: it is this one with an older version" >&2
fi
built=$(scripts/package/deb.sh)
cp "$built" "$folder/"
[ "$PWD" != "$here" ] || rm "$built"
echo "$folder/$(basename "$built")"
