#!/bin/bash
# Installs two clients in other languages for the black-box tests below .cache: grpcurl and Python's
# grpcio. It also installs fusepy, for the filesystem with faults. Tests that need a client that
# cannot be installed are skipped and give this reason.
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
