#!/bin/bash
# Bundles the daemon, the command and the conformance suite, each with its libraries, into a file below
# dist/bundle: reading some 700 modules one by one takes half of the time of a start. Beside it is what
# V8 compiles of it, which takes half of what is left.
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
# Not bundled: packages with native code.
outside=(classic-level koffi)
# Its other form asks for grpc-js when it runs, and would get a second copy, or none.
otlp=@opentelemetry/otlp-grpc-exporter-base
# Each file is one function, which src/cached-code.cts calls. CommonJS: Node compiles modules of the
# other kind without a cache that can be shipped, and reads what their imports of its own modules
# would need, of which most programs use little. What is shipped has no planted faults.
node_modules/.bin/esbuild "${entries[@]}" --bundle --platform=node --format=cjs --target=node24 --outdir=dist/bundle/code \
  "${outside[@]/#/--external:}" "--alias:$otlp=./node_modules/$otlp/dist/index.cjs" --log-level=warning --metafile=dist/bundle.meta.json \
  --supported:dynamic-import=false --legal-comments=none \
  '--define:process.env.HOSTLER_PLANTED_FAULTS=""' --define:import.meta.url=programUrl \
  '--banner:js=(function (exports, require, module, __filename, __dirname) { "use strict"; const programUrl = require("node:url").pathToFileURL(__filename).href;' \
  '--footer:js=})'
for entry in "${entries[@]}"; do cp dist/src/cached-code.cjs "dist/bundle/${entry%%=*}.js"; done
echo '{ "type": "commonjs" }' >dist/bundle/package.json
# The code of what each of them loads. --predictable: the same bytes each time.
record=(node_modules/.bin/node --predictable --disable-warning=DEP0123 --require=./dist/scripts/bundle/record-code.cjs)
for program in hostlerd hostler; do "${record[@]}" "dist/bundle/$program.js" --version >/dev/null; done
"${record[@]}" dist/bundle/hostler-conformance.js --list >/dev/null
"${record[@]}" dist/scripts/bundle/load-threads.cjs
