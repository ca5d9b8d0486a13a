#!/bin/bash
# Builds and tests the Java client, and runs its example, against a real daemon. `make setup build`
# must have run. It ends with the counts; 69: Java cannot be installed here.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
if ! command -v javac >/dev/null || ! command -v mvn >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "clients/java: there is no javac or mvn, and only root can install them" && exit 69
  fi
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends default-jdk-headless maven; } >&2; then
    echo "clients/java: default-jdk-headless and maven cannot be installed" && exit 69
  fi
fi
if ! javac --release 17 --version >/dev/null 2>&1; then
  echo "clients/java: $(javac -version 2>&1) is too old, Java 17 is needed" && exit 69
fi
cd "$here"
maven=(mvn -B -ntp)
# Packages are kept in Maven's own folder, if there is one.
packages=${HOSTLER_M2:-}
if [ -z "$packages" ] && [ -n "${CI:-}" ] && [ ! -d "${HOME:-/nonexistent}/.m2" ]; then packages=$root/.cache/maven; fi
if [ -n "$packages" ]; then maven+=("-Dmaven.repo.local=$packages"); fi
rm -rf target/surefire-reports
code=0
"${maven[@]}" test dependency:build-classpath -DincludeScope=runtime -Dmdep.outputFile=target/classpath || code=$?
# The attributes of each suite's report.
count() { cat target/surefire-reports/TEST-*.xml 2>/dev/null | grep -oP "<testsuite [^>]* $1=\"\K\d+" | awk '{ sum += $1 } END { print sum + 0 }'; }
failed=$(($(count failures) + $(count errors)))
skipped=$(count skipped)
passed=$(($(count tests) - failed - skipped))
if [ "$code" = 0 ] || [ "$failed" -gt 0 ]; then
  code=0
  folder=$(mktemp -d)
  coproc daemon { exec "$root/clients/testing/daemon.sh" "$folder/d"; }
  pid=$daemon_PID
  # shellcheck disable=SC2317
  clean() {
    eval "exec ${orders}>&-"
    wait "$pid" || true
    rm -rf "$folder"
  }
  orders=${daemon[1]}
  trap clean EXIT
  read -r facts <&"${daemon[0]}"
  fact() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$facts" "$1"; }
  head -c $((24 << 20)) /dev/urandom >"$folder/d/www/image.raw"
  sum=$(sha256sum "$folder/d/www/image.raw" | cut -d ' ' -f 1)
  echo "== example/Scheduler.java"
  if HOSTLER_ADDRESS=$(fact socket) java -cp "target/classes:$(cat target/classpath)" example/Scheduler.java \
    "$(fact root)" "http://127.0.0.1:$(fact www)/image.raw" "$sum" "/proc/$$/fd/$orders"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
fi
if [ "$code" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]
