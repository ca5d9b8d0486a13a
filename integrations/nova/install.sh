# shellcheck shell=bash
# Sourced by the tests of hostler-nova, in the folder integrations/nova. It installs Nova, makes the
# environments `tools` and `run` in .cache/nova, builds the packages and installs them there. It ends
# the script with exit code 69 and a reason if that is not possible here.
# It sets: here, repository, cache; python, tools and run, which are /usr/bin/python3 and the folders
# of the programs; and the functions of what follows.
here=$PWD
repository=$(cd ../.. && pwd)
cache=$repository/.cache/nova
python=/usr/bin/python3
mkdir -p "$cache"
unable() {
  echo "the integration of Nova cannot be tested here: $1"
  exit 69
}
command -v python3 >/dev/null || unable "there is no python3"
[ -x "$python" ] || unable "there is no $python: Nova comes with the Python of Debian"
if ! "$python" -c 'import nova' 2>/dev/null; then
  "$repository/scripts/system-packages.sh" "no command of:python3-nova" >"$cache/install.log" 2>&1 ||
    unable "python3-nova is not installed: $(tail -n 1 "$cache/install.log")"
fi
grpcio=$(grep -o -m 1 'grpcio==[0-9.]*' "$repository/scripts/test-clients.sh")
# venv NAME PACKAGE…: the Python of the tests is Debian's, because Nova is. It may have no pip.
venv() {
  local folder=$cache/$1 packages="${*:2}" pip=("$cache/tools/bin/pip" --python "$cache/$1/bin/python")
  if [ "$(cat "$folder/packages" 2>/dev/null)" = "$packages" ] && "$folder/bin/python" -c ''; then return; fi
  rm -rf "$folder"
  if [ "$1" = tools ]; then
    python3 -m venv "$folder"
  else
    "$python" -m venv --system-site-packages --without-pip "$folder"
  fi >"$cache/install.log" 2>&1 || unable "$(tail -n 1 "$cache/install.log")"
  "${pip[@]}" install -q "${@:2}" >"$cache/install.log" 2>&1 || unable "$(tail -n 1 "$cache/install.log")"
  echo "$packages" >"$folder/packages"
}
common=(googleapis-common-protos==1.76.0 h2==4.4.1 pytest==9.2.0)
# The build needs an older grpcio-tools, and so an older protobuf, than what the tests run with.
venv tools "${common[@]}" build==1.6.1 hatchling==1.27.0 grpcio-tools==1.80.1 mypy-protobuf==3.7.0 \
  mypy==2.4.1 ruff==0.17.6 grpc-stubs==1.53.0.6 types-protobuf==7.35.1.20260906
# Nova's own tests need those that no package of Debian brings along.
venv run "$grpcio" protobuf==7.36.2 "${common[@]}" ddt==1.7.2 fixtures testtools oslotest requests-mock wsgi-intercept gabbi
tools=$cache/tools/bin run=$cache/run/bin

echo "== build: both wheels out of their sdists"
rm -rf "$cache/dist"
for folder in ../../clients/python .; do
  "$tools/python" -m build -n --outdir "$cache/dist" "$folder" >"$cache/build.log" 2>&1 ||
    { tail -n 20 "$cache/build.log"; exit 1; }
done
for venv in "$cache/tools" "$cache/run"; do
  "$tools/pip" --python "$venv/bin/python" install -q --force-reinstall --no-deps "$cache"/dist/*.whl
done

# Nova's functional tests need Placement, and the paste configuration of Nova's API, which Debian has
# in a package that starts services.
paste=$cache/api-paste.ini
functional_packages() {
  if ! "$python" -c 'import placement' 2>/dev/null || ! command -v strace >/dev/null; then
    "$repository/scripts/system-packages.sh" strace:strace "no command of:python3-placement" || return
  fi
  strace -qq -o /dev/null true || return
  [ ! -s "$paste" ] || return 0
  (cd "$cache" && rm -f nova-common_*.deb && apt-get download -q nova-common) || return
  dpkg-deb --fsys-tarfile "$cache"/nova-common_*.deb | tar -x -O --wildcards '*/api-paste.ini' >"$paste"
}
passed=0 failed=0 skipped=0 code=0
# count LOG: adds the counts of one run.
count() {
  local line number what
  line=$(grep -E '[0-9]+ (passed|failed|skipped|error)' "$1" | tail -n 1 || true)
  while read -r number what; do
    case $what in
      passed*) passed=$((passed + number)) ;;
      failed* | error*) failed=$((failed + number)) ;;
      skipped*) skipped=$((skipped + number)) ;;
    esac
  done < <(grep -oE '[0-9]+ (passed|failed|skipped|error)' <<<"$line")
}
# tests NAME COMMAND…
tests() {
  echo "== tests: $1"
  local bad=0 before=$failed
  "${@:2}" 2>&1 | tee "$cache/tests.log" || bad=1
  count "$cache/tests.log"
  [ "$bad" = 0 ] || code=1
  [ "$bad" = 0 ] || [ "$failed" -gt "$before" ] || failed=$((failed + 1))
}
