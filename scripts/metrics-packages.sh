#!/bin/bash
# Installs Prometheus and promtool, and what fails under the daemon. Prometheus is not started as a
# service. What cannot be installed is named, and the tests that need it are skipped.
set -eu
cd "$(dirname "$0")"
./system-packages.sh --optional prometheus:prometheus promtool:prometheus python3:python3 sshfs:sshfs \
  /usr/lib/openssh/sftp-server:openssh-sftp-server fusermount3:fuse3 libfuse.so.2:libfuse2
