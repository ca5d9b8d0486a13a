#!/bin/bash
# Installs what the tests need in addition to the daemon: filesystems to mount, sources that fail,
# servers to fetch from and copy to, other clients. Tests that need a package that cannot be installed
# are skipped and name it.
set -eu
cd "$(dirname "$0")"
packages=(ps:procps bzip2:bzip2 curl:curl python3:python3 ip:iproute2 nginx:nginx-light
  sshd:openssh-server ssh-keygen:openssh-client sshfs:sshfs /usr/lib/openssh/sftp-server:openssh-sftp-server
  mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs sfdisk:fdisk fusermount3:fuse3 libfuse.so.2:libfuse2 nbdkit:nbdkit nbdfuse:libnbd-bin
  script:bsdutils virsh:libvirt-clients systemd-notify:systemd)
# A module of Python, not a command.
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv:python3-venv)
# Programs that make images and archives.
./corpus-packages.sh
exec ./system-packages.sh --optional "${packages[@]}"
