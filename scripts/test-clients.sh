#!/bin/bash
# Installs the two foreign clients of the black-box tests under .cache, grpcurl and Python's grpcio,
# and beside that fusepy for the filesystem with faults. Where one can't be had the tests that need
# it say so and are skipped.
set -u
cd "$(dirname "$0")/.."
mkdir -p .cache
if [ ! -x .cache/go/bin/grpcurl ]; then
  if command -v go >/dev/null; then
    GOBIN="$PWD/.cache/go/bin" go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4 >.cache/grpcurl.log 2>&1 ||
      echo "grpcurl could not be installed: $(tail -n 1 .cache/grpcurl.log)"
  else
    echo "grpcurl could not be installed: there is no go"
  fi
fi
if [ ! -x .cache/python/bin/python ] || 
  ! .cache/python/bin/python -c 'import importlib.util as u, sys; sys.exit(not (u.find_spec("grpc_reflection") and u.find_spec("fuse")))'; then
  { python3 -m venv .cache/python && .cache/python/bin/pip install -q grpcio==1.85.1 grpcio-reflection==1.85.1 protobuf fusepy==3.0.1; } >.cache/python.log 2>&1 ||
    echo "the Python client could not be installed: $(tail -n 1 .cache/python.log)"
fi
exit 0
