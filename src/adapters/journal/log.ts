import type { Log } from '../telemetry/log.js';
import type { JournalLog } from './store.js';

/** Writes events of the journal to the daemon's log; `wrote` as in JournalLog. */
export function journalLog(log: Log, wrote: (seconds: number) => void): JournalLog {
  return {
    wrote,
    moved({ movedTo, why, salvaged: { kept, aside, unreadable } }) {
      log.error('the journal was broken and has been moved aside; what could be read of it was kept', {
        movedTo,
        why,
        kept,
        setAside: aside.length,
        unreadable,
      });
    },
    imported({ movedTo, taken, aside, problem }) {
      const facts = { movedTo, taken, setAside: aside.length };
      if (problem === undefined) log.info('the journal of an earlier version was imported', facts);
      else
        log.error('the journal of an earlier version was damaged; what could be read was imported', {
          ...facts,
          problem,
        });
    },
    setAside: (facts) => log.error('a record of the journal is damaged', facts),
    state(state) {
      if (!state.writable) log.error('the journal cannot be written: changes are refused', { why: state.why });
      else {
        const { failedMs, caughtUp } = state;
        log.warn('the journal can be written again', { failedMs, caughtUp });
      }
    },
    tidyFailed: (why) => log.error('old records of the journal cannot be removed now', { why }),
  };
}
