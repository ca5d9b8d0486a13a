#!/bin/bash
# Builds the package as a user gets it, checks the types and the style, and tests it against the
# daemon of this repository. It ends with the line `N passed, N failed`, and with exit code 69 if
# Python or its packages cannot be installed here. Arguments go to pytest.
set -eu -o pipefail
cd "$(dirname "$0")"
here=$PWD
repository=$(cd ../.. && pwd)
cache=$repository/.cache/python-client
mkdir -p "$cache"
unable() {
  echo "the Python client cannot be tested here: $1"
  exit 69
}
command -v python3 >/dev/null || unable "there is no python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || unable "the pinned grpcio needs Python 3.10"
grpcio=$(grep -o -m 1 'grpcio==[0-9.]*' "$repository/scripts/test-clients.sh")
venv() { # NAME PACKAGE…
  local folder=$cache/$1 packages="${*:2}"
  if [ "$(cat "$folder/packages" 2>/dev/null)" = "$packages" ] && "$folder/bin/python" -c ''; then return; fi
  rm -rf "$folder"
  { python3 -m venv "$folder" && "$folder/bin/pip" install -q "${@:2}"; } >"$cache/install.log" 2>&1 ||
    unable "$(tail -n 1 "$cache/install.log")"
  echo "$packages" >"$folder/packages"
}
# Two of them: the build needs an older grpcio-tools than what the tests run with.
venv build build==1.6.1 hatchling==1.27.0 grpcio-tools==1.80.1 mypy-protobuf==3.7.0
venv run "$grpcio" protobuf==7.36.2 googleapis-common-protos==1.76.0 pytest==9.2.0 \
  mypy==2.4.1 ruff==0.17.6 grpc-stubs==1.53.0.6 types-protobuf==7.35.1.20260906
bin=$cache/run/bin

echo "== build: the wheel out of the sdist"
rm -rf "$cache/dist"
"$cache/build/bin/python" -m build -n --outdir "$cache/dist" . >"$cache/build.log" 2>&1 ||
  { tail -n 20 "$cache/build.log"; exit 1; }
"$bin/pip" install -q --force-reinstall --no-deps "$cache"/dist/*.whl
echo "== style"
"$bin/ruff" check -q --cache-dir "$cache/ruff" .
"$bin/ruff" format -q --check --cache-dir "$cache/ruff" .
echo "== types"
# From another folder: the installed package is what users get.
(cd tests && "$bin/mypy" --config-file ../pyproject.toml --cache-dir "$cache/mypy" -p hostler &&
  "$bin/mypy" --config-file ../pyproject.toml --cache-dir "$cache/mypy" . ../example)
echo "== tests"
code=0
"$bin/python" -m pytest -q --junitxml "$cache/tests.xml" "$@" || code=$?
cd "$here"
"$bin/python" - "$cache/tests.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

suite = xml.parse(sys.argv[1]).getroot()[0]
count = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
failed = count["failures"] + count["errors"]
skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
print(f"{count['tests'] - failed - count['skipped']} passed, {failed} failed{skipped}")
PYTHON
exit "$code"
