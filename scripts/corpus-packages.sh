#!/bin/bash
# What makes the images of the corpus. What cannot be had is named, and its images are skipped.
set -eu
cd "$(dirname "$0")"
exec ./system-packages.sh --optional bzip2:bzip2 python3:python3 sfdisk:fdisk sgdisk:gdisk parted:parted mkfs.vfat:dosfstools mformat:mtools \
  mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.minix:util-linux mkfs.cramfs:util-linux mkfs.bfs:util-linux mksquashfs:squashfs-tools \
  xorriso:xorriso genisoimage:genisoimage cryptsetup:cryptsetup-bin zip:zip 7z:p7zip-full cpio:cpio ar:binutils pzstd:zstd \
  lz4:lz4 lzip:lzip lzop:lzop compress:ncompress
