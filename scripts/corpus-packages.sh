#!/bin/bash
# Installs the programs that make the images of the corpus. It names a program that cannot be
# installed; its images are skipped.
set -eu
cd "$(dirname "$0")"
bin="$(cd .. && pwd)/.cache/go/bin"
if [ ! -x "$bin/tar2ext4" ]; then
  if command -v go >/dev/null; then
    GOBIN="$bin" go install github.com/Microsoft/hcsshim/cmd/tar2ext4@v0.13.0 >/dev/null 2>&1 ||
      echo "tar2ext4 cannot be installed: tests that need it are skipped" >&2
  else
    echo "tar2ext4 cannot be installed, there is no go: tests that need it are skipped" >&2
  fi
fi
exec ./system-packages.sh --optional bzip2:bzip2 python3:python3 sfdisk:fdisk sgdisk:gdisk parted:parted mkfs.vfat:dosfstools mformat:mtools \
  mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.minix:util-linux mkfs.cramfs:util-linux mkfs.bfs:util-linux mksquashfs:squashfs-tools \
  xorriso:xorriso genisoimage:genisoimage cryptsetup:cryptsetup-bin zip:zip 7z:p7zip-full cpio:cpio ar:binutils pzstd:zstd \
  lz4:lz4 lzip:lzip lzop:lzop compress:ncompress
