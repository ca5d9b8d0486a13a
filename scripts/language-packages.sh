#!/bin/bash
# Installs what compiles the contract in other languages. A tool that cannot be installed is named,
# and the tests that need it are skipped.
set -eu
cd "$(dirname "$0")"
./system-packages.sh --optional protoc:protobuf-compiler g++:g++ javac:default-jdk-headless python3:python3
[ -e /usr/include/google/protobuf/message.h ] || ./system-packages.sh --optional no-command:libprotobuf-dev
[ -e /usr/lib/python3/dist-packages/google/protobuf ] || ./system-packages.sh --optional no-command:python3-protobuf
[ -e /usr/share/java/protobuf.jar ] || ./system-packages.sh --optional no-command:libprotobuf-java
cd ..
mkdir -p .cache/go/bin
# Pinned to the version of the Go client's module.
for tool in google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0; do
  name=$(basename "${tool%@*}")
  [ -x ".cache/go/bin/$name" ] || ! command -v go >/dev/null ||
    GOBIN="$PWD/.cache/go/bin" go install "$tool" >".cache/$name.log" 2>&1 ||
    echo "$name could not be installed: $(tail -n 1 ".cache/$name.log")"
done
