import { loadKoffi } from './koffi.js';

/** Of <unistd.h> and <errno.h>, the same on every architecture of Linux but alpha. */
const [SEEK_DATA, ENXIO] = [3, 6];

type NextData = (fd: number, offset: number) => number;

/** Where nobody can ask, everything is data. */
const UNKNOWN: NextData = (_fd, offset) => offset;

let known: NextData | undefined;

/**
 * Where the first data of an open file begins, at an offset or behind it; Infinity: there are only
 * holes. A read of a hole would fill memory with pages of zeros. The descriptor's own position
 * changes.
 */
export function nextData(fd: number, offset: number): number {
  return (known ??= load())(fd, offset);
}

function load(): NextData {
  const koffi = loadKoffi();
  const seek: ((fd: number, offset: number, whence: number) => number | bigint) | undefined = koffi
    ?.load(null)
    .func('int64_t lseek(int, int64_t, int)');
  if (koffi === undefined || seek === undefined) return UNKNOWN;
  return (fd, offset) => {
    const found = Number(seek(fd, offset, SEEK_DATA));
    if (found >= 0) return found;
    return koffi.errno() === ENXIO ? Infinity : offset;
  };
}
