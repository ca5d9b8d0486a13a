#!/bin/bash
# Generates the code of the contract, checks and tests the client against a real daemon, and runs the
# example. Needs `make build`. Exits 69 with the reason where there is no Go.
set -eu -o pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
command -v go >/dev/null || { echo "skipped: there is no Go here (1.24 or newer)"; exit 69; }
if ! reason=$(go list -m 2>&1); then
  echo "skipped: $reason"
  # Only a Go that is too old, and may not get a newer one, is no failure.
  case $reason in *"requires go"* | *"go version"*) exit 69 ;; *) exit 1 ;; esac
fi
./generate.sh
unformatted=$(gofmt -l ./*.go example internal)
[ -z "$unformatted" ] || { printf 'gofmt would change:\n%s\n' "$unformatted"; exit 1; }
go vet ./...
results=$repository/.cache/go/results
failed=0
go test -count=1 -timeout 580s -v ./... 2>&1 | tee "$results" | grep -Ev '^(=== |\?)' || failed=1
passed=$(grep -c '^ *--- PASS' "$results" || true)
broken=$(grep -c '^ *--- FAIL' "$results" || true)
skipped=$(grep -c '^ *--- SKIP' "$results" || true)
# A run that ended without a line for its test, such as one that does not compile.
if [ "$failed" = 1 ] && [ "$broken" = 0 ]; then broken=1; fi
echo "$passed passed, $broken failed, $skipped skipped"
[ "$broken" = 0 ]
