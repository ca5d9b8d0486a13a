#!/bin/bash
# Runs clients/LANGUAGE/test.sh of each client library. The last line is `N passed, N failed, N
# skipped`, with what the suites before it counted (HOSTLER_TEST_COUNTS). A language that cannot be
# installed here is one skip, with its reason.
#   scripts/client-libraries.sh [LANGUAGE…]
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
[ $# -gt 0 ] || for file in clients/*/test.sh; do set -- "$@" "$(basename "$(dirname "$file")")"; done
read -r passed failed skipped < <(cat "${HOSTLER_TEST_COUNTS:-/dev/null}" 2>/dev/null; echo) || true
passed=${passed:-0} failed=${failed:-0} skipped=${skipped:-0} worst=0
mkdir -p .cache/clients
# Two at a time, because they wait more than they compute; each leaves nothing: see there.
run() {
  scripts/contained.sh --online "clients/$1/test.sh" >".cache/clients/$1.log" 2>&1 </dev/null
  echo $? >".cache/clients/$1.code"
}
export -f run
printf '%s\n' "$@" | xargs -P 2 -I '{}' bash -c 'run {}'
for language in "$@"; do
  log=.cache/clients/$language.log
  code=$(cat ".cache/clients/$language.code")
  echo "== $language"
  cat "$log"
  counts=$(grep -oE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
  if [ "$code" = 69 ]; then
    skipped=$((skipped + 1))
  elif [ -z "$counts" ]; then
    echo "$language: no line has its counts; exit code $code"
    failed=$((failed + 1)) worst=1
  else
    read -r good _ bad _ left _ <<<"${counts//,/}"
    [ "$code" = 0 ] || [ "$bad" != 0 ] || bad=1
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + ${left:-0}))
    [ "$bad" = 0 ] || worst=1
  fi
done
[ -z "${HOSTLER_TEST_COUNTS:-}" ] || echo "$passed $failed $skipped" >"$HOSTLER_TEST_COUNTS"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$worst"
