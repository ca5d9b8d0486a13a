#!/bin/bash
# Writes what has a source elsewhere in the tree. Downloads nothing.
#   scripts/generate.sh code           src/gen, from proto/
#   scripts/generate.sh docs [FOLDER]  the pages of docs/ that have tables from the sources, or into another folder
# The pages are made without the compiler: they come also while the rest does not compile.
set -eu -o pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
case ${1:-} in
  code) buf generate ;;
  docs)
    folder=${2:-docs}
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    buf build --as-file-descriptor-set -o "$fresh/hostler.binpb"
    for program in scripts/docs/*-docs.ts; do
      name=$(basename "$program" -docs.ts)
      esbuild "$program" --bundle --platform=node --format=esm --target=node24 --log-level=warning \
        "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" \
        --outfile="$fresh/$name.mjs"
      node "$fresh/$name.mjs" "$fresh/hostler.binpb" >"$fresh/page.md"
      cp "$fresh/page.md" "$folder/$name.md"
    done
    ;;
  *)
    echo "usage: scripts/generate.sh code | docs [FOLDER]" >&2
    exit 2
    ;;
esac
