#!/bin/bash
# Runs a command that runs every test, then the tests of what came in that run. Inside
# scripts/contained.sh, for scripts/test.sh.
#   scripts/every-test.sh COMMAND…
set -u
export HOSTLER_TEST_COUNTS=${HOSTLER_TEST_COUNTS:-$HOSTLER_RUN/counts}
"$@"
code=$?
# They have been printed.
rm -f "$HOSTLER_RUN/skips"
HOSTLER_RUN_CODE=$code node_modules/.bin/mocha --config .mocharc.suites.json 'dist/test/after/**/*.test.js'
after=$?
exit $((code > after ? code : after))
