#!/bin/bash
# Makes the code of the contract, hostler/v1, out of ../../proto. It needs Go and either buf (that of
# `make setup`) or protoc. Exits 69 where there is no Go.
set -eu -o pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
command -v go >/dev/null || { echo "there is no Go here: install Go 1.24 or newer"; exit 69; }
export GOBIN=$repository/.cache/go/bin
PATH=$GOBIN:$repository/node_modules/.bin:$PATH
install() { # MODULE VERSION
  local program=${1##*/}
  [ "$("$GOBIN/$program" --version 2>/dev/null)" != "$program $2" ] || return 0
  GOFLAGS='' go install "$1@v${2#v}"
}
install google.golang.org/protobuf/cmd/protoc-gen-go v1.36.12
install google.golang.org/grpc/cmd/protoc-gen-go-grpc 1.6.2
if command -v buf >/dev/null; then
  buf generate --template buf.gen.yaml ../../proto
else
  rm -rf hostler
  mkdir hostler
  protoc -I ../../proto --go_out=hostler --go_opt=module=hostler.dev/go/hostler \
    --go-grpc_out=hostler --go-grpc_opt=module=hostler.dev/go/hostler ../../proto/hostler/v1/*.proto
fi
