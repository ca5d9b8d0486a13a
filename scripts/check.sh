#!/bin/bash
# Runs every linter and check of the sources, the quick ones first. It fails at the end and names
# every check that failed. The build has checked the types before. eslint has no cache, because its
# rules use the types of other files too.
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
complaints=()
step() {
  echo "== $1"
  "${@:2}" || complaints+=("$1")
}
generated() {
  scripts/generate.sh docs "$fresh" || return 1
  # docs/reference has other pages too.
  for page in "$fresh"/*.md "$fresh"/reference/*.md "$fresh"/api "$fresh"/plots; do
    diff -r "docs/${page#"$fresh"/}" "$page" || { echo "docs/${page#"$fresh"/} differs from the sources: run make gen" >&2; return 1; }
  done
}
# The contract of the last release: scripts/contract.sh --release writes it.
breaking() { buf breaking --against proto/released.binpb; }
step "proto lint" buf lint proto
step "proto format" buf format -d --exit-code proto
step "proto breaking" breaking
step "generated pages" generated
step "format" prettier --check --log-level warn --cache --cache-location .cache/prettier .
step "prose" markdownlint-cli2
step "unused code" knip
step "imports" depcruise --output-type err-long --config .dependency-cruiser.js src
step "lint" eslint --max-warnings 0 .
if [ ${#complaints[@]} -gt 0 ]; then
  printf 'check: failed: %s\n' "${complaints[*]}" >&2
  exit 1
fi
echo "check: ok"
