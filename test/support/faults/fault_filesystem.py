"""A filesystem on a mount point that shows a folder beside it, and fails, or hangs, where it is asked to.

usage: python fault_filesystem.py FOLDER MOUNT_POINT TYPE

It speaks lines of JSON. On standard output: {"ready": true} once it is mounted, then one answer for each line of input:
  {"faults": [{"kinds": ["write"], "errno": 28, "nth": 2, "times": 1, "match": "part", "hang": false}]}
      begins to count anew; the nth matching call and the (times - 1) after it fail with errno ("after": true: when they
      have done their work), or hang until the next "faults"; times 0: all from the nth on. Answers {}.
  {"ask": "seen"}  answers {"calls": ["write /a/b", ...], "failed": ["write /a/b"]} since the last "faults".
When the input ends it unmounts and ends.
"""

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading

import fuse

FOLDER, MOUNT_POINT, TYPE = sys.argv[1:4]
#: What the kernel asks all the time, and nobody counts.
SILENT = {"init", "destroy", "access", "release", "releasedir", "opendir", "listxattr", "getxattr", "removexattr"}
#: Calls that are kept, so that a test can say what failed.
MOST_CALLS = 5000
TIMES = ("st_atime", "st_ctime", "st_mtime")
STAT = ("st_gid", "st_mode", "st_nlink", "st_size", "st_uid", "st_ino", "st_blocks", "st_blksize")
STATFS = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag", "f_frsize", "f_namemax")

PUNCH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong, ctypes.POINTER(fuse.fuse_file_info)
)


class OperationsOfToday(ctypes.Structure):
    """The table of libfuse 2.9: fusepy knows the one of 2.8, which ends before fallocate."""

    _fields_ = [
        *fuse.fuse_operations._fields_,
        ("poll", ctypes.c_void_p),
        ("write_buf", ctypes.c_void_p),
        ("read_buf", ctypes.c_void_p),
        ("flock", ctypes.c_void_p),
        ("fallocate", PUNCH),
    ]


class Mount(fuse.FUSE):
    def fallocate(self, path, mode, offset, length, info):
        return self.operations("fallocate", path and path.decode(), mode, offset, length, info.contents.fh)


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong]


class Fault:
    def __init__(self, kinds, errno, nth=1, times=1, match="", after=False, hang=False):
        self.kinds, self.errno, self.nth, self.times = kinds, errno, nth, times
        self.match, self.after, self.hang, self.seen = match, after, hang, 0

    def strikes(self, kind, paths):
        if kind not in self.kinds or not any(self.match in path for path in paths):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times == 0 or self.seen < self.nth + self.times)


class Faults:
    """What is to fail; counted under one lock, because the calls come in threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.replace([])

    def replace(self, faults):
        with self.lock:
            getattr(self, "released", threading.Event()).set()
            self.faults, self.calls, self.failed, self.released = faults, [], [], threading.Event()

    def meet(self, kind, paths):
        """Fails, hangs, or says with which errno to fail after the work."""
        call = f"{kind} {' '.join(paths)}"
        with self.lock:
            struck = next((fault for fault in self.faults if fault.strikes(kind, paths)), None)
            if len(self.calls) < MOST_CALLS:
                self.calls.append(call)
            if struck is None:
                return None
            self.failed.append(call)
            released = self.released
        if struck.hang:
            released.wait()
            return None
        if struck.after:
            return struck.errno
        raise fuse.FuseOSError(struck.errno)

    def seen(self):
        with self.lock:
            return {"calls": self.calls, "failed": self.failed}


class Shown(fuse.Operations):
    use_ns = True

    def __init__(self, faults):
        self.faults = faults

    def __call__(self, operation, *arguments):
        if operation in SILENT:
            return getattr(self, operation)(*arguments)
        late = self.faults.meet(operation, [each for each in arguments[:2] if isinstance(each, str)])
        answer = getattr(self, operation)(*arguments)
        if late is not None:
            raise fuse.FuseOSError(late)
        return answer

    def init(self, _):
        print(json.dumps({"ready": True}), flush=True)

    def getattr(self, path, handle=None):
        stat = os.lstat(FOLDER + path) if handle is None else os.fstat(handle)
        return {
            **{key: getattr(stat, key) for key in STAT},
            **{key: getattr(stat, key + "_ns") for key in TIMES},
        }

    def readdir(self, path, _):
        return [".", "..", *os.listdir(FOLDER + path)]

    def readlink(self, path):
        return os.readlink(FOLDER + path)

    def mkdir(self, path, mode):
        os.mkdir(FOLDER + path, mode)

    def rmdir(self, path):
        os.rmdir(FOLDER + path)

    def unlink(self, path):
        os.unlink(FOLDER + path)

    def symlink(self, path, target):
        os.symlink(target, FOLDER + path)

    def rename(self, old, new):
        os.rename(FOLDER + old, FOLDER + new)

    def link(self, new, old):
        os.link(FOLDER + old, FOLDER + new)

    def chmod(self, path, mode):
        os.chmod(FOLDER + path, mode)

    def chown(self, path, user, group):
        os.lchown(FOLDER + path, user, group)

    def truncate(self, path, length, handle=None):
        if handle is None:
            os.truncate(FOLDER + path, length)
        else:
            os.ftruncate(handle, length)

    def utimens(self, path, times=None):
        os.utime(FOLDER + path, ns=times, follow_symlinks=False)

    def open(self, path, flags):
        return os.open(FOLDER + path, flags & ~os.O_DIRECT)

    def create(self, path, mode, _=None):
        return os.open(FOLDER + path, os.O_RDWR | os.O_CREAT, mode)

    def read(self, _, length, offset, handle):
        return os.pread(handle, length, offset)

    def write(self, _, data, offset, handle):
        return os.pwrite(handle, data, offset)

    def fallocate(self, _, mode, offset, length, handle):
        if LIBC.fallocate(handle, mode, offset, length) != 0:
            raise fuse.FuseOSError(ctypes.get_errno())

    def flush(self, _, handle):
        return 0

    def release(self, _, handle):
        os.close(handle)

    def fsync(self, _, data_only, handle):
        os.fsync(handle)

    def fsyncdir(self, path, data_only, handle):
        folder = os.open(FOLDER + path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def statfs(self, path):
        counts = os.statvfs(FOLDER + path)
        return {key: getattr(counts, key) for key in STATFS}

    def getxattr(self, path, name, position=0):
        raise fuse.FuseOSError(errno.ENOTSUP)


def listen(faults):
    for line in sys.stdin:
        message = json.loads(line)
        if "faults" in message:
            faults.replace([Fault(**each) for each in message["faults"]])
        print(json.dumps(faults.seen() if message.get("ask") == "seen" else {}), flush=True)
    faults.replace([])
    subprocess.run(["umount", "-l", MOUNT_POINT], check=False)
    os._exit(0)


fuse.fuse_operations = OperationsOfToday
os.umask(0)
FAULTS = Faults()
threading.Thread(target=listen, args=(FAULTS,), daemon=True).start()
Mount(
    Shown(FAULTS),
    MOUNT_POINT,
    foreground=True,
    allow_other=True,
    use_ino=True,
    hard_remove=True,
    big_writes=True,
    attr_timeout=0,
    entry_timeout=0,
    negative_timeout=0,
    fsname="faults",
    subtype=TYPE,
)
