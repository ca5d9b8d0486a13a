#!/bin/bash
# Runs every test, files side by side. The last line is `N passed, N failed, N skipped`; the reason
# of each skip is printed above it. Nothing of the run is left, however it ends:
# scripts/contained.sh.
#   scripts/test.sh [--only REGEXP | --suite NAME | --parity | --coverage]
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin:$PWD/.cache/go/bin"
scripts/test-clients.sh
# Daemons are started from what is bundled; whoever compiled by hand means what is compiled.
if [ -n "$(find dist/src -name '*.js' -newer dist/bundle/hostlerd.js -print -quit)" ]; then scripts/bundle.sh; fi
# Tests wait more than they work: one process more than there are processors.
side_by_side=(--parallel --jobs $(($(nproc) + 1)) --retries 1)
runner=(node_modules/.bin/mocha --config .mocharc.json)
case ${1:-} in
  --only) runner+=(--grep "$2") ;;
  # They need a service of their own, which works on the same cores.
  --suite)
    export HOSTLER_TEST_HELD_MS=200
    runner=(node_modules/.bin/mocha --config .mocharc.suites.json "dist/test/$2/**/*.test.js")
    # These have none.
    [ "$2" != crashes ] || runner+=("${side_by_side[@]}")
    ;;
  --parity) runner+=(--grep 'parity rows? ' --reporter dist/test/support/parity.cjs) ;;
  --coverage)
    scripts/bundle.sh --thin
    c8=(node_modules/.bin/c8 --include 'dist/src/**' --exclude 'dist/src/gen/**' --reporter text --reporter lcov)
    # shellcheck disable=SC2016 # for the inner shell
    runner=(bash -c '"$@"; code=$?; scripts/bundle.sh; exit $code' bash "${c8[@]}" "${runner[@]}")
    ;;
  # At the end what came in it is held against what proto/ promises. The last line counts both.
  *)
    # Beside two other files the same turn has cold caches, which known work does not show.
    export HOSTLER_TEST_HELD_MS=100
    runner=(scripts/every-test.sh "${runner[@]}" "${side_by_side[@]}")
    ;;
esac
exec scripts/contained.sh "${runner[@]}"
