#!/bin/bash
# Bundles the daemon, the command and the conformance suite with their libraries into a few files
# below dist/bundle: reading some 700 modules one by one takes half of the time of a start.
#   scripts/bundle.sh --thin    entries that only import dist/src, to measure what tests cover
set -eu
cd "$(dirname "$0")/.."
rm -rf dist/bundle
if [ "${1:-}" = --thin ]; then
  mkdir dist/bundle
  echo "import '../src/main.js';" >dist/bundle/hostlerd.js
  echo "import '../src/cli/main.js';" >dist/bundle/hostler.js
  echo "import '../conformance/main.js';" >dist/bundle/hostler-conformance.js
  exit
fi
entries=(hostlerd=dist/src/main.js hostler=dist/src/cli/main.js hostler-conformance=dist/conformance/main.js)
# A thread starts from a file of its own, in the same folder as the file that starts it.
for worker in $(find dist/src -name '*-worker.js'); do entries+=("$(basename "$worker" .js)=$worker"); done
# bundle.meta.json says what is in it, for the notices of the Debian package (scripts/package).
# Not bundled: packages with native code, and packages that read files beside their own.
outside=(classic-level koffi @grpc/grpc-js @grpc/reflection grpc-health-check)
# Some libraries are CommonJS and call require(); others declare createRequire themselves. What is
# shipped has no planted faults.
node_modules/.bin/esbuild "${entries[@]}" --bundle --splitting --platform=node --format=esm --target=node24 --outdir=dist/bundle \
  "${outside[@]/#/--external:}" --log-level=warning --metafile=dist/bundle.meta.json \
  '--define:process.env.HOSTLER_PLANTED_FAULTS=""' \
  "--banner:js=import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);"
