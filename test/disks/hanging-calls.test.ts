/** The disk below a root stops answering in the middle of each verb. */
import { faultBench } from '../support/faults/fault-bench.js';
import { faultCases } from '../support/faults/fault-cases.js';
import { hangUnder } from '../support/faults/hanging-call.js';

/** Where in the calls of a verb. */
const PARTS = [0.5, 0.9, 0.7];

describe('a disk that stops answering', () => {
  const bench = faultBench({ rootPatienceMs: 300 });
  for (const [index, each] of faultCases(bench).entries())
    it(`${each.name}: it ends, others go on, and nothing is left once the disk is back`, async () => {
      const part = PARTS[index % PARTS.length] ?? 0;
      await hangUnder(each, { daemon: bench.daemon(), disk: bench.disk(), part });
    });
});
