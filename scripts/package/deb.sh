#!/bin/bash
# Builds dist/hostler_VERSION_ARCH.deb from the build in dist/. The same commit always makes the same
# bytes, with the same debhelper. Needs no root.
#   scripts/package/deb.sh    DEB_VERSION=V: instead of that of package.json
set -eu -o pipefail
cd "$(dirname "$0")/../.."
PATH="$PWD/node_modules/.bin:$PATH"
export LC_ALL=C
name=$(node -p "require('./package.json').version")
# Unless the commit is a release, it comes before it, by the time of the commit.
if [ -z "${DEB_VERSION:-}" ]; then
  DEB_VERSION=$name
  if git rev-parse -q --verify HEAD >/dev/null 2>&1 && ! git tag --points-at HEAD | grep -qx "v$name"; then
    DEB_VERSION+="~git$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd).$(git rev-parse --short=7 HEAD)"
  fi
fi
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y package.json)}

work=dist/deb
rm -rf "$work"
mkdir -p "$work/debian/source"
cp -r packaging/debian/. "$work/debian/"
cp packaging/hostlerd.service "$work/debian/hostler.hostlerd.service"
cp CHANGELOG.md "$work/"
cat >"$work/debian/changelog" <<TEXT
hostler ($DEB_VERSION) unstable; urgency=medium

  * CHANGELOG.md says what has changed.

 -- $(sed -n 's/^Maintainer: //p' packaging/debian/control)  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
TEXT

tree=$work/tree
lib=$tree/usr/lib/hostler
mkdir -p "$lib/bin" "$lib/dist/bundle" "$lib/node_modules/.bin" "$tree/usr/bin" "$tree/etc/hostler" \
  "$tree/usr/share/hostler" "$tree/usr/share/doc/hostler/examples"
cp bin/hostler bin/hostlerd bin/hostler-conformance "$lib/bin/"
for program in hostler hostlerd hostler-conformance; do ln -s "../lib/hostler/bin/$program" "$tree/usr/bin/$program"; done
cp -r dist/bundle/. "$lib/dist/bundle/"
cp dist/hostler.binpb "$lib/dist/"
node -p 'const { name, version, license, type } = require("./package.json"); JSON.stringify({ name, version, license, type })' \
  >"$lib/package.json"
node dist/scripts/package/stage.js "$tree" |
  node scripts/package/sbom.mjs "$DEB_VERSION" >"$tree/usr/share/doc/hostler/hostler.cdx.json"
ln -s "../$(cd "$lib/node_modules" && ls -d node-linux-*)/bin/node" "$lib/node_modules/.bin/node"

cp packaging/hostler.toml "$tree/etc/hostler/"
cp packaging/root.conf "$tree/usr/share/hostler/"
cp -r packaging/grafana packaging/prometheus "$tree/usr/share/hostler/"
cp -r proto "$tree/usr/share/hostler/"
rm -f "$tree/usr/share/hostler/proto/released.binpb"
ln -s ../../lib/hostler/dist/hostler.binpb "$tree/usr/share/hostler/hostler.binpb"
cp packaging/hostler.example.toml "$tree/usr/share/doc/hostler/examples/"

# Made from the same commands as `--help`.
print_into() { mkdir -p "$(dirname "$tree/usr/share/$1")"; "${@:2}" >"$tree/usr/share/$1"; }
print_into bash-completion/completions/hostler bin/hostler completion bash
print_into zsh/vendor-completions/_hostler bin/hostler completion zsh
print_into fish/vendor_completions.d/hostler.fish bin/hostler completion fish
print_into man/man1/hostler.1 bin/hostler completion man
print_into man/man1/hostler-conformance.1 scripts/package/manual.sh conformance
print_into man/man8/hostlerd.8 scripts/package/manual.sh daemon
chmod -R u=rwX,go=rX "$tree"

(cd "$work" && debian/rules binary >build.log 2>&1) || { tail -n 40 "$work/build.log" >&2; exit 1; }
deb=$(cd dist && ls hostler_"$DEB_VERSION"_*.deb)
rm -rf "$work"
echo "dist/$deb"
