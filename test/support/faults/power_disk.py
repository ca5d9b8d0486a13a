"""A disk whose power can be cut: a FUSE filesystem with one file, `disk`, for a loop device.

usage: python power_disk.py MOUNT_POINT DURABLE_FILE LENGTH

What is written stays in memory until the file is synced, as in the cache of a disk. It speaks lines of JSON. On standard
output: {"ready": true} once it is mounted, then one answer for each line of input:
  {"cut": "/path", "keep": "all" | "none" | "some", "seed": 1}
      writes what the disk would hold if its power went now: what was synced, and of what was not all of it, none of it,
      or some blocks, chosen by the seed, for a disk writes its cache in any order. Answers {"unsynced": blocks}.
When the input ends it unmounts and ends.
"""

import errno
import json
import os
import random
import stat
import subprocess
import sys
import threading

import fuse

MOUNT_POINT, DURABLE_FILE, LENGTH = sys.argv[1], sys.argv[2], int(sys.argv[3])
BLOCK = 4096


class PowerDisk(fuse.Operations):
    use_ns = True

    def __init__(self):
        self.mutex = threading.Lock()
        self.cache = {}
        self.durable = os.open(DURABLE_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.durable, LENGTH)

    def init(self, _):
        print(json.dumps({"ready": True}), flush=True)

    def getattr(self, path, handle=None):
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path == "/disk":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": LENGTH}
        raise fuse.FuseOSError(errno.ENOENT)

    def readdir(self, path, _):
        return [".", "..", "disk"]

    def open(self, path, flags):
        return 1

    def truncate(self, path, length, handle=None):
        raise fuse.FuseOSError(errno.EPERM)

    def block(self, number):
        return self.cache.get(number) or os.pread(self.durable, BLOCK, number * BLOCK)

    def read(self, _, length, offset, handle):
        with self.mutex:
            first, last = offset // BLOCK, (offset + length - 1) // BLOCK
            data = b"".join(self.block(number) for number in range(first, last + 1))
        return data[offset - first * BLOCK :][:length]

    def write(self, _, data, offset, handle):
        with self.mutex:
            at = 0
            while at < len(data):
                number, within = divmod(offset + at, BLOCK)
                piece = data[at : at + BLOCK - within]
                old = b"" if len(piece) == BLOCK else self.block(number)
                self.cache[number] = old[:within] + piece + old[within + len(piece) :]
                at += len(piece)
        return len(data)

    def fsync(self, path, data_only, handle):
        with self.mutex:
            store(self.durable, self.cache)
            self.cache = {}

    def cut(self, path, keep, seed):
        with self.mutex:
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", DURABLE_FILE, path], check=True)
            chance = random.Random(seed)
            kept = {n: data for n, data in self.cache.items() if keep == "all" or (keep == "some" and chance.random() < 0.5)}
            unsynced = len(self.cache)
        copy = os.open(path, os.O_RDWR)
        store(copy, kept)
        os.close(copy)
        return {"unsynced": unsynced}


def store(file, blocks):
    for number, data in blocks.items():
        os.pwrite(file, data, number * BLOCK)


def listen(disk):
    for line in sys.stdin:
        message = json.loads(line)
        print(json.dumps(disk.cut(message["cut"], message["keep"], message["seed"])), flush=True)
    subprocess.run(["umount", "-l", MOUNT_POINT], check=False)
    os._exit(0)


DISK = PowerDisk()
threading.Thread(target=listen, args=(DISK,), daemon=True).start()
fuse.FUSE(DISK, MOUNT_POINT, foreground=True, allow_other=True, big_writes=True, fsname="power", subtype="hostlertest")
