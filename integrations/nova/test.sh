#!/bin/bash
# Builds the packages as a user gets them, checks the types and the style, and tests them with a real
# Nova and the daemon of this repository. Nova is that of Debian 12 (python3-nova 26.2, which runs
# under eventlet), and installed if that is allowed. The last line is `N passed, N failed, N skipped`.
# The exit code is 69 if Nova or what the tests need cannot be had here. Arguments go to pytest.
set -eu -o pipefail
cd "$(dirname "$0")"
# shellcheck source-path=SCRIPTDIR
. ./install.sh
functional() {
  if ! functional_packages >"$cache/install.log" 2>&1; then
    echo "Nova's functional tests cannot run here: $(tail -n 1 "$cache/install.log")"
    echo "0 passed, 0 failed, 1 skipped"
    return
  fi
  OS_WSGI__API_PASTE_CONFIG=$paste "$run/python" -W ignore tests/nova_functional.py --parts 2
}
echo "== style"
"$tools/ruff" check -q --cache-dir "$cache/ruff" .
"$tools/ruff" format -q --check --cache-dir "$cache/ruff" .
echo "== types"
# From another folder: the installed package is what users get.
(cd tests && "$tools/mypy" --config-file ../pyproject.toml --cache-dir "$cache/mypy" -p hostler_nova &&
  "$tools/mypy" --config-file ../pyproject.toml --cache-dir "$cache/mypy" .)
(cd demo && MYPYPATH=../tests "$tools/mypy" --config-file ../pyproject.toml --cache-dir "$cache/mypy" .)

pytest=("$run/python" -W ignore -m pytest -q -p no:cacheprovider)
tests "with threads" "${pytest[@]}" "$@" tests
# The command has its own process, in which Nova itself applies the monkey patching.
tests "under eventlet" env EVENTLET=1 "${pytest[@]}" "$@" --ignore tests/test_compute.py tests
# Those for asyncio do not use the transport.
client=../../clients/python/tests
tests "of the Python client, over h2" env PYTHONPATH="$here/tests" "${pytest[@]}" -p over_h2 \
  --rootdir "$client" -c /dev/null -k "not aio and not asyncio" \
  "$client"/test_connection.py "$client"/test_errors.py "$client"/test_operations.py
tests "Nova's own" "$run/python" -W ignore tests/nova_own_tests.py
tests "Nova's functional ones, and the programs that Nova starts" functional
echo "$passed passed, $failed failed, $skipped skipped"
exit "$code"
