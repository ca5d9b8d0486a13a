#!/bin/bash
# Installs Prometheus and promtool, and what fails under the daemon. Prometheus is not started as a
# service. Builds a collector of OpenTelemetry below .cache, which takes minutes the first time. What
# cannot be installed is named, and the tests that need it are skipped.
set -eu
cd "$(dirname "$0")"
./system-packages.sh --optional prometheus:prometheus promtool:prometheus python3:python3 sshfs:sshfs \
  /usr/lib/openssh/sftp-server:openssh-sftp-server fusermount3:fuse3 libfuse.so.2:libfuse2
cd ..
bin=$PWD/.cache/go/bin
[ ! -x "$bin/otelcol" ] || exit 0
if ! command -v go >/dev/null; then
  echo "the OpenTelemetry Collector could not be built: there is no go"
  exit 0
fi
mkdir -p "$bin"
{ GOBIN=$bin go install go.opentelemetry.io/collector/cmd/builder@v0.161.0 &&
  "$bin/builder" --config test/metrics/otelcol.yaml && cp .cache/otelcol/otelcol "$bin/"; } >.cache/otelcol.log 2>&1 ||
  echo "the OpenTelemetry Collector could not be built: $(tail -n 1 .cache/otelcol.log)"
