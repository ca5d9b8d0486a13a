#!/bin/bash
# Runs every test, with test files in parallel. The last line is `N passed, N failed, N skipped`; the
# reason of each skip is printed above it. scripts/contained.sh leaves nothing of the run, however it
# ends.
#   scripts/test.sh [--only REGEXP | --suite NAME [--only REGEXP] | --parity | --coverage]
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH:/usr/sbin:/sbin:$PWD/.cache/go/bin"
scripts/test-clients.sh
# Tests start daemons from the bundle. If dist/src is newer, it was compiled by hand: bundle it.
if [ -n "$(find dist/src -name '*.js' -newer dist/bundle/hostlerd.js -print -quit)" ]; then scripts/bundle.sh; fi
# Tests wait more than they compute: one process more than there are processors.
contained=(scripts/contained.sh)
side_by_side=(--parallel --jobs $(($(nproc) + 1)) --retries 1)
runner=(node_modules/.bin/mocha --config .mocharc.json)
case ${1:-} in
  --only) runner+=(--grep "$2") ;;
  # Most suites need a service of their own, which uses the same cores.
  --suite)
    export HOSTLER_TEST_HELD_MS=200
    runner=(node_modules/.bin/mocha --config .mocharc.suites.json "dist/test/$2/**/*.test.js")
    # They get compilers' libraries, and a Debian, from their registries.
    [[ $2 != languages && $2 != package ]] || contained+=(--online)
    case $2 in
      # This suite has no service.
      crashes) runner+=("${side_by_side[@]}") ;;
      # One test that goes on for long by itself.
      campaign | power | fuzz-rpc) ;;
      # A busy machine may need the patience of a test for itself; see the reporter.
      *) runner+=(--retries 1) ;;
    esac
    if [ "${3:-}" = --only ]; then runner+=(--grep "$4"); fi
    ;;
  --parity) runner+=(--grep 'parity rows? ' --reporter dist/test/support/parity.cjs) ;;
  --coverage)
    scripts/bundle.sh --thin
    c8=(node_modules/.bin/c8 --include 'dist/src/**' --exclude 'dist/src/gen/**' --reporter text --reporter lcov)
    # shellcheck disable=SC2016 # for the inner shell
    runner=(bash -c '"$@"; code=$?; scripts/bundle.sh; exit $code' bash "${c8[@]}" "${runner[@]}")
    ;;
  # At the end the recorded reasons are compared with the promises of proto/. The last line counts both.
  *)
    runner=(scripts/every-test.sh "${runner[@]}" "${side_by_side[@]}")
    ;;
esac
exec "${contained[@]}" "${runner[@]}"
