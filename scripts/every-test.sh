#!/bin/bash
# Runs a command that runs every test, and then the tests that evaluate what that run recorded.
# scripts/test.sh calls it inside scripts/contained.sh.
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
