#!/bin/bash
# Installs what a Ceph cluster of one node needs, and qemu's module for its images.
set -eu
cd "$(dirname "$0")"
./system-packages.sh ceph-mon:ceph-mon ceph-mgr:ceph-mgr ceph-osd:ceph-osd rbd:ceph-common python3:python3-minimal
# A module of qemu, not a command.
ls /usr/lib/*/qemu/block-rbd.so >/dev/null 2>&1 || ./system-packages.sh qemu-block-rbd:qemu-block-extra
