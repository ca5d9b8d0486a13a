#!/bin/bash
# Generates src/gen from the contract. Downloads nothing.
set -eu
cd "$(dirname "$0")/../.."
PATH="$PWD/node_modules/.bin:$PATH"
buf generate --template clients/typescript/buf.gen.yaml
# All messages and services of the contract as one module.
cd clients/typescript/src/gen/hostler/v1
for file in *_pb.ts; do echo "export * from './${file%.ts}.js';"; done >index.ts
