#!/bin/bash
# Everything about the sources that a machine can judge. Stops at the first complaint.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
step() {
  echo "== $1"
  shift
  "$@"
}
generated() {
  npx buf generate -o "$fresh"
  diff -r src/gen "$fresh/src/gen" || { echo "src/gen is not what proto/ says: make gen" >&2; return 1; }
  node dist/src/tools/error-docs.js | diff docs/errors.md - || { echo "docs/errors.md is not what errors.ts says: make gen" >&2; return 1; }
}
breaking() {
  # Only what is released may not break; the image is committed with each release.
  if [ -f proto/released.binpb ]; then npx buf breaking --against proto/released.binpb; else echo "nothing is released yet"; fi
}
step "types" npx tsc --noEmit
step "lint" npx eslint --max-warnings 0 .
step "format" npx prettier --check --log-level warn .
step "unused code" npx knip
step "proto lint" npx buf lint proto
step "proto format" npx buf format -d --exit-code proto
step "proto breaking" breaking
step "generated code" generated
echo "check: ok"
