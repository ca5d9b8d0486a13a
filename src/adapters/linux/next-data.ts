import { loadKoffi } from './koffi.js';

/** From <unistd.h> and <errno.h>, the same on every architecture of Linux except alpha. */
const [SEEK_DATA, ENXIO] = [3, 6];

type NextData = (fd: number, offset: number) => number;

/** Without a way to ask, everything counts as data. */
const UNKNOWN: NextData = (_fd, offset) => offset;

let known: NextData | undefined;

/**
 * The offset of the first data of an open file at or after an offset; Infinity: only a hole
 * follows. Reading a hole would fill memory with pages of zeros. Changes the descriptor's position.
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
