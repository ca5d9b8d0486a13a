#!/bin/bash
# Packs the contract for those who generate code from it: dist/hostler-proto-VERSION.tar.gz has the
# proto files, and hostler.binpb, the same as descriptors. The same files always make the same bytes.
#   scripts/contract.sh [--release]    --release: from now on `make check` refuses what breaks this one
set -eu -o pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
if [ "${1:-}" = --release ]; then buf build -o proto/released.binpb --exclude-source-info; fi
version=$(node -p "require('./package.json').version")
name=hostler-proto-$version
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
mkdir -p "$fresh/$name" dist
cp -r proto "$fresh/$name/"
rm -f "$fresh/$name/proto/released.binpb"
buf build proto --as-file-descriptor-set -o "$fresh/$name/hostler.binpb"
cat >"$fresh/$name/buf.yaml" <<'YAML'
version: v2
modules:
  - path: proto
YAML
cat >"$fresh/$name/README.md" <<TEXT
# The contract of Hostler $version

\`protoc -I proto\` and \`buf build\` compile these files without anything else. They need protoc 3.12
or later (before 3.15 with \`--experimental_allow_proto3_optional\`). License: Apache-2.0.

The details of errors (google.rpc.ErrorInfo and others, in the trailer \`grpc-status-details-bin\` and
in \`hostler.v1.Status\`) are not part of it. Each language has them as a package: googleapis-common-protos
(Python), google.golang.org/genproto/googleapis/rpc (Go), proto-google-common-protos (Java).
TEXT
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u=rwX,go=rX -C "$fresh" -cf - "$name" |
  gzip -9n >"dist/$name.tar.gz"
echo "dist/$name.tar.gz"
