import type { ImageAddress } from '../model/address.js';
import type { CheckCounts } from '../ports/changes.js';
import type { ImageFormat } from '../model/image-format.js';
import { assertUncut, planned, whileOpen, type ChangePorts } from './in-place.js';
import type { CheckResult } from '../operations/results.js';
import type { Run, Verb } from '../operations/verb.js';
import { OPENS, unlocked } from '../images/unlocked.js';
import type { Chain } from '../ports/tools.js';

export interface CheckSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly repair: 'none' | 'leaks' | 'all';
}

/**
 * Checks an image's tables, and repairs them if requested. After a crash in a repair the same call
 * completes it.
 */
export function checkImage(ports: ChangePorts): Verb<CheckSpec, CheckResult> {
  return {
    name: 'CheckImage',
    slot: () => 'io',
    uses: ({ address, format, repair }) =>
      repair === 'none'
        ? [{ role: 'source', address, format, allowInUse: false }]
        : [{ role: 'inplace', address, format, chain: 'whole', safeCopy: false, refuseDependants: () => false }],

    plan({ address, repair }, { chain }) {
      const why = repair === 'none' ? 'the tables are read' : `the tables are read and repaired (${repair})`;
      return planned('check', why, chain(address)[0], 0n, ports);
    },

    async run({ address, repair }, run) {
      const chain = unlocked(run.chain(address), run.secrets[OPENS]);
      if (repair === 'none') run.phase('VERIFYING');
      const counts = repair === 'none' ? await checked(chain, run, ports) : await repaired(chain, repair, run, ports);
      const clean = counts.corruptions + counts.checkErrors === 0n;
      return { kind: 'check', clean, ...counts };
    },
  };
}

const NOTHING: CheckCounts = { corruptions: 0n, leaks: 0n, checkErrors: 0n, corruptionsFixed: 0n, leaksFixed: 0n };

/** The tool ignores truncated parts, or fails because of them: they are found here. */
async function checked(chain: Chain, run: Run, { changer, reader }: ChangePorts): Promise<CheckCounts> {
  const [{ file, format }] = chain;
  // Leftovers of an interrupted change are for the tool to judge: see `assertUncut`.
  const cut = run.isTouched(file) ? undefined : await reader.cut(file, format, run.signal);
  if (cut !== undefined) {
    run.warn({ reason: 'IMAGE_CUT', message: cut.error.message });
    return { ...NOTHING, corruptions: BigInt(cut.places) };
  }
  await run.step('check');
  return changer(chain).check({ chain }, 'none', run.tool());
}

async function repaired(chain: Chain, repair: 'leaks' | 'all', run: Run, ports: ChangePorts): Promise<CheckCounts> {
  const { file } = chain[0];
  await assertUncut(chain, chain[0], run, ports);
  return whileOpen(file, ports, async (sync) => {
    await run.touch(file);
    run.phase('MODIFYING', false);
    await run.step('check');
    const counts = await ports.changer(chain).check({ chain }, repair, run.tool());
    await sync();
    return counts;
  });
}
