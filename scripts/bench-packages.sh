#!/bin/bash
# The tools that the bench measures against.
set -eu
exec "$(dirname "$0")/system-packages.sh" nbdcopy:libnbd-bin mkfs.xfs:xfsprogs sshd:openssh-server ip:iproute2 openssl:openssl h2load:nghttp2-client nginx:nginx-light curl:curl
