/** The conformance suite finds every fault that is planted in a daemon. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PLANTED_FAULTS, type PlantedFault } from '../../src/domain/model/planted-faults.js';
import { runSuite } from '../support/conformance/suite.js';
import { Daemon, ROOT_FOLDER } from '../support/daemon.js';
import { scratchFolder } from '../support/scratch.js';

/** Which cases look at it, and one that must fail. */
const FOUND_BY: Readonly<Record<PlantedFault, readonly [only: string, found: string]>> = {
  'replay-runs-again': ['retries', 'a repeated request gets the result of the first run, and does not run again'],
  'plan-runs': ['plans', 'a plan of DeleteImage says how it would be done and why, and changes nothing'],
  'checksum-not-compared': ['uploads', 'an upload with another checksum is CHECKSUM_MISMATCH, and publishes nothing'],
  'private-folder-left': ['cancels', 'a cancelled operation ends as CANCELLED and leaves nothing'],
  'wrong-reason': ['files', 'a path outside the roots is PATH_OUTSIDE_ROOTS, whether something is there or not'],
  'progress-goes-back': ['operations', 'progress only grows within a phase, and never passes its total'],
  'denied-call-allowed': [
    'authorisation',
    'DeleteImage is METHOD_NOT_ALLOWED to a caller who may only look, and does nothing',
  ],
  'unsafe-image-opened': ['hostile images', 'no tool sees a qcow2 that has a feature that nobody knows'],
  'page-repeats-entry': ['folders', 'the pages of a folder have each name once'],
  'base-not-protected': [
    'bases',
    'a base is not deleted while an image is backed by it, and the facts name that image',
  ],
  'download-loses-byte': ['downloads', 'a download has every byte, and ends with their digest'],
};

/** As bin/hostlerd, of a daemon that is not bundled: only that one knows planted faults. */
const LAUNCHER = `#!/bin/sh
UV_THREADPOOL_SIZE=16 exec '${join(ROOT_FOLDER, 'node_modules/.bin/node')}' '${join(ROOT_FOLDER, 'dist/src/main.js')}' "$@"
`;

describe('the conformance suite against a daemon with a planted fault', () => {
  const scratch = scratchFolder();
  before(async () => {
    await writeFile(scratch.path('hostlerd'), LAUNCHER);
    await chmod(scratch.path('hostlerd'), 0o755);
  });

  for (const [fault, [subject, found]] of Object.entries(FOUND_BY))
    it(`finds ${fault}`, async () => {
      const viewer = `unix://${scratch.path('viewer.sock')}`;
      const daemon = await Daemon.start(scratch.path(fault), {
        program: scratch.path('hostlerd'),
        toml: `[[listeners]]\naddress = "${viewer}"\nrole = "viewer"`,
        env: { HOSTLER_PLANTED_FAULTS: fault },
      });
      try {
        const verdict = await runSuite(
          scratch.path(`${fault}.xml`),
          ...['--address', daemon.address, '--second-address', viewer, '--root', daemon.image('')],
          ...['--only', `^${subject}: `],
        );
        assert.equal(verdict.code, 1, verdict.text);
        assert.ok(verdict.failed.includes(`${subject}: ${found}`), verdict.text);
      } finally {
        await daemon.stop();
      }
    });

  it('does not let a daemon that is shipped have any', async () => {
    const daemon = await Daemon.start(scratch.path('shipped'), {
      env: { HOSTLER_PLANTED_FAULTS: Object.keys(PLANTED_FAULTS).join(',') },
    });
    try {
      const words = ['--address', daemon.address, '--root', daemon.image(''), '--only', '^(downloads|folders|bases): '];
      const verdict = await runSuite(scratch.path('shipped.xml'), ...words);
      assert.deepEqual([verdict.failed, verdict.code], [[], 0], verdict.text);
    } finally {
      await daemon.stop();
    }
  });
});
