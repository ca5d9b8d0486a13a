#!/bin/bash
# Builds, checks and tests the TypeScript client against a real daemon, and then its package in an
# empty folder. Needs `make setup build` of the repository. The last line says how many tests passed
# and failed. Exits 69 if the packages cannot be installed here.
set -eu -o pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
PATH="$root/node_modules/.bin:$PATH"
export npm_config_cache="$root/.cache/npm"
NPM=(npm install --no-audit --no-fund --no-package-lock --loglevel error --prefer-offline)
scratch=$(mktemp -d)
daemon=
clean() {
  # The daemon ends when its standard input does.
  exec 3>&-
  if [ -n "$daemon" ]; then wait "$daemon" || true; fi
  rm -rf "$scratch"
}
trap clean EXIT
[ -x "$root/node_modules/.bin/buf" ] || { echo "run make setup build first" >&2; exit 69; }
step() { echo "== $1"; "${@:2}"; }

if ! [ node_modules/.stamp -nt package.json ]; then
  step "packages" "${NPM[@]}" || { echo "the packages of package.json cannot be installed here" >&2; exit 69; }
  touch node_modules/.stamp
fi
step "generate" ./generate.sh
rm -rf dist
step "compile" "$root/node_modules/.bin/tsc" -p .
step "types of the tests" "$root/node_modules/.bin/tsc" -p tsconfig.test.json
step "lint" eslint --max-warnings 0 .

echo "== tests"
passed=0 failed=0 skipped=0
count() { sed -n "s/^  *\([0-9][0-9]*\) $1\( .*\)\{0,1\}$/\1/p" "$scratch/tests.log" | tail -n 1; }
node "$root/node_modules/.bin/mocha" --no-config --extension ts --require test/daemon.ts --timeout 60000 \
  'test/*.test.ts' >"$scratch/tests.log" 2>&1 || true
cat "$scratch/tests.log"
passed=$(count passing) failed=$(count failing) skipped=$(count pending)
: "${passed:=0}" "${failed:=0}" "${skipped:=0}"
if [ $((passed + failed)) = 0 ]; then failed=1; fi

# What a user does: the tarball in an empty folder, outside of the repository.
in_empty_folder() {
  npm pack --silent --pack-destination "$scratch" >/dev/null
  mkdir "$scratch/user"
  cp example/scheduler.ts "$scratch/user"
  cd "$scratch/user"
  echo '{"type":"module","private":true}' >package.json
  "${NPM[@]}" "$scratch"/hostler-client-*.tgz @connectrpc/connect@2.3.0 @connectrpc/connect-node@2.3.0 @types/node@24.19.4
  "$root/node_modules/.bin/tsc" --noEmit --strict --target es2023 --module nodenext --types node scheduler.ts
  mkfifo orders
  "$root/clients/testing/daemon.sh" "$scratch/host" <orders >facts &
  daemon=$!
  exec 3>orders
  until [ -s facts ]; do kill -0 "$daemon" || return 1; sleep 0.1; done
  fact() { node -p "JSON.parse(require('fs').readFileSync('facts', 'utf8').split('\n')[0]).$1"; }
  local pki
  pki=$(fact folder)/pki
  for transport in grpc-js connect; do
    echo "-- the example by $transport"
    HOSTLER_ADDRESS=tcp://$(fact tls) HOSTLER_TLS_CA=$pki/ca.pem HOSTLER_TLS_CERT=$pki/client.pem \
      HOSTLER_TLS_KEY=$pki/client.key KILL_DAEMON="echo kill >$PWD/orders" \
      timeout 60 node scheduler.ts "$(fact root)" "$(fact folder)/www" "http://127.0.0.1:$(fact www)" "$transport" || return 1
  done
}
if [ -f example/scheduler.ts ]; then
  echo "== package in an empty folder, and the example"
  # In a function of the same shell, whose failures must count.
  set +e
  in_empty_folder
  [ $? = 0 ] && passed=$((passed + 1)) || failed=$((failed + 1))
  set -e
fi
summary="$passed passed, $failed failed"
if [ "$skipped" != 0 ]; then summary="$summary, $skipped skipped"; fi
echo "$summary"
[ "$failed" = 0 ]
