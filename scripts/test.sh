#!/bin/bash
# Runs every test. The last line is `N passed, N failed, N skipped`; the reason of each skip is printed above it.
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin:$PWD/.cache/go/bin"
scripts/test-clients.sh
# Daemons are started from what is bundled; whoever compiled by hand means what is compiled.
if [ -n "$(find dist/src -name '*.js' -newer dist/bundle/hostlerd.js -print -quit)" ]; then scripts/bundle.sh; fi
runner=(node_modules/.bin/mocha --config .mocharc.json)
# Suites that need a service of their own.
if [ "${1:-}" = --suite ]; then
  runner=(node_modules/.bin/mocha --config .mocharc.suites.json "dist/test/$2/**/*.test.js" 'dist/test/last/**/*.test.js')
fi
if [ "${1:-}" = --coverage ]; then
  scripts/bundle.sh --thin
  runner=(node_modules/.bin/c8 --include 'dist/src/**' --exclude 'dist/src/gen/**' --reporter text --reporter lcov "${runner[@]}")
fi
HOSTLER_TEST_SKIPS=$(mktemp)
export HOSTLER_TEST_SKIPS
trap 'rm -f "$HOSTLER_TEST_SKIPS"; if [ "${1:-}" = --coverage ]; then scripts/bundle.sh; fi' EXIT
if [ "${1:-}" = --parity ]; then runner+=(--grep 'parity rows? ' --reporter dist/test/support/parity.cjs); fi
if [ "${1:-}" = --only ]; then runner+=(--grep "$2"); fi
"${runner[@]}"
