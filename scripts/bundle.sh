#!/bin/bash
# Puts the daemon and the client with their libraries into few files below dist/bundle: reading some
# 700 modules one by one is half of a start.
#   scripts/bundle.sh --thin    the same entries over dist/src, for a look at what tests reach
set -eu
cd "$(dirname "$0")/.."
rm -rf dist/bundle
if [ "${1:-}" = --thin ]; then
  mkdir dist/bundle
  echo "import '../src/main.js';" >dist/bundle/hostlerd.js
  echo "import '../src/cli/main.js';" >dist/bundle/hostler.js
  exit
fi
entries=(hostlerd=dist/src/main.js hostler=dist/src/cli/main.js)
# Threads are started from files of their own, beside what starts them.
for worker in $(find dist/src -name '*-worker.js'); do entries+=("$(basename "$worker" .js)=$worker"); done
# Left outside: what is native code, and what reads files beside its own.
outside=(classic-level koffi @grpc/grpc-js @grpc/reflection grpc-health-check)
# Some libraries are CommonJS and call require().
node_modules/.bin/esbuild "${entries[@]}" --bundle --splitting --platform=node --format=esm --target=node24 --outdir=dist/bundle \
  "${outside[@]/#/--external:}" --log-level=warning \
  "--banner:js=import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"
