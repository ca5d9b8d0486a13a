#!/bin/bash
# What a cluster of one node is made of, and qemu's way to its images.
set -eu
cd "$(dirname "$0")"
./system-packages.sh ceph-mon:ceph-mon ceph-mgr:ceph-mgr ceph-osd:ceph-osd rbd:ceph-common python3:python3-minimal
# A module of qemu's, no command.
ls /usr/lib/*/qemu/block-rbd.so >/dev/null 2>&1 || ./system-packages.sh qemu-block-rbd:qemu-block-extra
