#!/bin/bash
# Runs clients/LANGUAGE/test.sh of each client library, or integrations/NAME/test.sh. The last line
# is `N passed, N failed, N skipped`, with what the suites before it counted (HOSTLER_TEST_COUNTS).
# What cannot be installed here is one skip, with its reason.
#   scripts/client-libraries.sh [LANGUAGE… | NAME…]    a NAME may be that of a folder in a folder
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
[ $# -gt 0 ] || for file in clients/*/test.sh; do set -- "$@" "$(basename "$(dirname "$file")")"; done
read -r passed failed skipped < <(cat "${HOSTLER_TEST_COUNTS:-/dev/null}" 2>/dev/null; echo) || true
passed=${passed:-0} failed=${failed:-0} skipped=${skipped:-0} worst=0
mkdir -p .cache/clients
# Two at a time, because they wait more than they compute; each leaves nothing: see there.
run() {
  local folder=clients/$1
  [ -d "$folder" ] || folder=integrations/$1
  scripts/contained.sh --online "$folder/test.sh" >".cache/clients/${1//\//-}.log" 2>&1 </dev/null
  echo $? >".cache/clients/${1//\//-}.code"
}
export -f run
# The lines by which the tools of the languages name a test that failed.
names() { grep -ohE '^ +[0-9]+\) .*|^(FAILED|ERROR) .*|--- FAIL.*|\[ERROR\] +[A-Za-z]+\.[a-z].*' "$1" | head -n 5 | tr -s ' ' | tr '\n' ';'; }
failures=()
printf '%s\n' "$@" | xargs -P 2 -I '{}' bash -c 'run {}'
# Beside others one may fail that passes alone. It runs again, and both runs are shown.
for language in "$@"; do
  file=.cache/clients/${language//\//-}
  if [ "$(cat "$file.code")" != 0 ] && [ "$(cat "$file.code")" != 69 ]; then
    echo "== $language, which failed, and runs again below"
    cat "$file.log"
    run "$language"
  fi
done
for language in "$@"; do
  bad=0 log=.cache/clients/${language//\//-}.log
  code=$(cat "${log%.log}.code")
  echo "== $language"
  cat "$log"
  counts=$(grep -oE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
  if [ "$code" = 69 ]; then
    skipped=$((skipped + 1))
  elif [ -z "$counts" ]; then
    echo "$language: no line has its counts; exit code $code"
    bad=1 failed=$((failed + 1))
  else
    read -r good _ bad _ left _ <<<"${counts//,/}"
    [ "$code" = 0 ] || [ "$bad" != 0 ] || bad=1
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + ${left:-0}))
  fi
  if [ "$bad" != 0 ]; then
    worst=1
    failures+=("$language $(names "$log")")
  fi
done
if [ ${#failures[@]} -gt 0 ]; then printf 'Failed:\n'; printf '  %s\n' "${failures[@]}"; fi
[ -z "${HOSTLER_TEST_COUNTS:-}" ] || echo "$passed $failed $skipped" >"$HOSTLER_TEST_COUNTS"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$worst"
