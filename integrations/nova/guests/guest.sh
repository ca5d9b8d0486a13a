#!/bin/bash
# Makes the kernel and the initrd of a small guest out of packages of Debian, which it does not
# install.
#   guest.sh FOLDER    It gets the files `kernel` and `initrd`.
set -eu -o pipefail
init=$(cd "$(dirname "$0")" && pwd)/guest-init
mkdir -p "$1"
cd "$1"
if [ -s initrd ] && cmp -s "$init" root/init; then exit 0; fi
rm -rf root initrd ./*.deb
image=$(apt-cache depends linux-image-cloud-amd64 | grep -o 'linux-image-[0-9].*')
apt-get download -q "$image" busybox-static
mkdir -p root/bin root/modules
dpkg-deb --fsys-tarfile busybox-static_*.deb | tar -xO --wildcards '*/bin/busybox' >root/bin/busybox
dpkg-deb --fsys-tarfile linux-image-*.deb | tar -x --wildcards './boot/vmlinuz-*' --wildcards '*/virtio*.ko'
mv boot/vmlinuz-* kernel
find lib -name '*.ko' -exec mv -t root/modules {} +
rm -r boot lib ./*.deb
cp "$init" root/init
chmod 755 root/init root/bin/busybox
ln -s busybox root/bin/sh
(cd root && find . | cpio -o --quiet -H newc | gzip -1) >initrd.new
mv initrd.new initrd
