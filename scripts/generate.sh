#!/bin/bash
# Generates code and pages from their sources in this tree. Downloads nothing.
#   scripts/generate.sh code           src/gen, from proto/
#   scripts/generate.sh docs [FOLDER]  the generated pages of docs/, or the same pages in another folder
# The pages need no compiler, so they can be generated while the rest does not compile.
set -eu -o pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
case ${1:-} in
  code) buf generate ;;
  docs)
    folder=${2:-docs}
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    buf build --config buf.daemon.yaml --as-file-descriptor-set -o "$fresh/hostler.binpb"
    # NAME-docs.ts prints docs/NAME.md, and reference/NAME-docs.ts docs/reference/NAME.md;
    # NAME-pages.ts writes every page of docs/NAME.
    mkdir -p "$folder/reference"
    for program in scripts/docs/*-docs.ts scripts/docs/reference/*-docs.ts scripts/docs/*-pages.ts; do
      built="$fresh/$(basename "$program" .ts).mjs"
      esbuild "$program" --bundle --platform=node --format=esm --target=node24 --log-level=warning \
        "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" \
        --outfile="$built"
      case $program in
        *-docs.ts)
          node "$built" "$fresh/hostler.binpb" >"$fresh/page.md"
          page=${program#scripts/docs/}
          cp "$fresh/page.md" "$folder/${page%-docs.ts}.md"
          ;;
        *)
          name=$(basename "$program" -pages.ts)
          node "$built" "$fresh/hostler.binpb" "$fresh/$name"
          rm -rf "${folder:?}/$name"
          cp -r "$fresh/$name" "$folder/$name"
          ;;
      esac
    done
    ;;
  *)
    echo "usage: scripts/generate.sh code | docs [FOLDER]" >&2
    exit 2
    ;;
esac
