#!/bin/bash
# Installs the tools with which the benchmarks compare.
set -eu
exec "$(dirname "$0")/system-packages.sh" nbdcopy:libnbd-bin mkfs.xfs:xfsprogs sshd:openssh-server ip:iproute2 openssl:openssl h2load:nghttp2-client nginx:nginx-light curl:curl
