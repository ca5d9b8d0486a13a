#!/bin/bash
# Starts a daemon in a scratch folder and stays in the foreground; Ctrl-C ends it and removes the
# folder.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d /tmp/hostler-run.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
trap : INT TERM
mkdir "$scratch/images"
cat >"$scratch/hostler.toml" <<TOML
state_dir = "$scratch/state"
[server]
listen = ["unix://$scratch/hostler.sock", "tcp://127.0.0.1:16520"]
loopback_role = "admin"
[[roots]]
path = "$scratch/images"
TOML
cat <<TEXT
Images go into $scratch/images. In another terminal:
  export HOSTLER_ADDRESS=unix://$scratch/hostler.sock
  bin/hostler image create $scratch/images/disk.qcow2 10G -f qcow2
  grpcurl -plaintext 127.0.0.1:16520 list
  grpcurl -plaintext -d '{"path":"$scratch/images/disk.qcow2"}' 127.0.0.1:16520 hostler.v1.ImageService/GetImageInfo
TEXT
"$here/bin/hostlerd" --config "$scratch/hostler.toml" &
daemon=$!
while kill -0 "$daemon" 2>/dev/null; do wait "$daemon" || true; done
