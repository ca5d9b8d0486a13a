/** Keeps the memory of a daemon small that runs for a long time. */
import { setFlagsFromString } from 'node:v8';
import { loadKoffi } from './koffi.js';

/** Garbage of a thread from which on V8 collects it, in MiB. */
const THREAD_GARBAGE_MIB = 4;
const INTERVAL_MS = 10_000;
/** What has to come since the last time; less is not worth the pages that are touched again. */
const LEAST_BYTES = 8 << 20;

/**
 * Each thread that is started after this call collects its garbage early: those of the journal and
 * of indexes kept up to 50 MiB each that was none of their data. Node then compiles its own modules
 * in each new thread, which costs a start some hundredths of a second.
 */
export function keepThreadsSmall(): void {
  setFlagsFromString(`--initial-old-space-size=${String(THREAD_GARBAGE_MIB)}`);
}

/**
 * Gives memory that was freed back to the system every 10 seconds when the process has grown, in a
 * thread: glibc keeps it where other memory lies behind it.
 */
export function freeMemory(): { start(): void } {
  return {
    start() {
      const trim = loadTrim();
      if (trim === undefined) return;
      let before = 0;
      const now = () => {
        if (process.memoryUsage.rss() < before + LEAST_BYTES) return;
        trim(() => {
          before = process.memoryUsage.rss();
        });
      };
      setInterval(now, INTERVAL_MS).unref();
    },
  };
}

/** Undefined on a host without glibc, whose library keeps little, or without a build of koffi. */
export function loadTrim(): ((done: () => void) => void) | undefined {
  const koffi = loadKoffi();
  if (koffi === undefined) return undefined;
  const libc = koffi.load(null);
  try {
    const mallocTrim = libc.func('int malloc_trim(size_t pad)');
    return (done) => {
      mallocTrim.async(0, done);
    };
  } catch {
    // Such as musl, which has no such call.
    return undefined;
  }
}
