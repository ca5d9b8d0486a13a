/** Images that mean harm: a header is data of whoever wrote it. */
import assert from 'node:assert/strict';
import { refusalFrom } from '../agent/agent.js';
import type { Reason } from '../agent/codes.js';
import * as image from '../agent/image-rpcs.js';
import type { Bench } from '../bench/bench.js';
import { MIB, noise } from '../content/noise.js';
import { qcow2, type Qcow2 } from '../content/qcow2.js';
import { refused } from '../expect.js';
import { about, type Behaviour } from '../runner/case.js';
import { sandbox, trusted } from '../runner/needs.js';

const EXTERNAL_DATA = 4n;
const UNKNOWN_FEATURE = 1n << 40n;

const convert = (at: Bench, source: string, sourceFormat: string) =>
  at.agent.operate(image.convertImage, { source, sourceFormat, target: at.path('leak.raw'), targetFormat: 'raw' });

/** The conversion of an image of a trusted root is refused with one of these, and writes nothing. */
async function refusesToConvert(at: Bench, bytes: Buffer, format: string, ...reasons: Reason[]): Promise<void> {
  const source = await at.write('hostile', bytes);
  const refusal = await refusalFrom(convert(at, source, format));
  assert.ok(
    reasons.some((reason) => reason === refusal.reason),
    `expected ${reasons.join(' or ')}, got ${refusal.summary}`,
  );
  assert.deepEqual(await at.names(), ['hostile']);
}

/** What an image of a trusted root may not lead to. */
const TRUSTED: readonly (readonly [what: string, choices: Qcow2, ...reasons: Reason[]])[] = [
  [
    'names a file of the host as its base',
    { backingFile: '/etc/passwd', backingFormat: 'raw' },
    'PATH_OUTSIDE_ROOTS',
    'IMAGE_UNSAFE',
  ],
  [
    'leads out of the roots by ..',
    { backingFile: '../../../../../../etc/passwd', backingFormat: 'raw' },
    'PATH_OUTSIDE_ROOTS',
    'IMAGE_UNSAFE',
    'IMAGE_NOT_FOUND',
  ],
  [
    'names a device of the host as its base',
    { backingFile: '/dev/zero', backingFormat: 'raw' },
    'PATH_OUTSIDE_ROOTS',
    'IMAGE_UNSAFE',
    'NOT_A_FILE',
    'IMAGE_NOT_FOUND',
  ],
  ['names a server as its base', { backingFile: 'nbd://127.0.0.1:1/x', backingFormat: 'raw' }, 'IMAGE_UNSAFE'],
  [
    'describes its base in JSON',
    { backingFile: 'json:{"driver":"nbd","host":"127.0.0.1","port":"1"}', backingFormat: 'raw' },
    'IMAGE_UNSAFE',
  ],
  ['has its data in another file', { incompatible: EXTERNAL_DATA }, 'IMAGE_UNSAFE'],
  ['has a feature that nobody knows', { incompatible: UNKNOWN_FEATURE }, 'IMAGE_UNSAFE'],
];

const named: readonly Behaviour[] = TRUSTED.map(([what, choices, ...reasons]) => ({
  name: `no tool sees a qcow2 that ${what}`,
  needs: [trusted],
  run: (at) => refusesToConvert(at, qcow2(choices), 'qcow2', ...reasons),
}));

/** Headers that contradict themselves. */
const BROKEN: readonly (readonly [what: string, choices: Qcow2])[] = [
  ['of 2^64-1 bytes', { sizeBytes: 2n ** 64n - 1n }],
  ['with a table of four thousand million entries', { l1Entries: 0xffffffff }],
  ['with four thousand million snapshots', { snapshots: { count: 0xffffffff, offset: 65536n } }],
  ['with clusters of 2^60 bytes', { clusterBits: 60 }],
  ['of a version that does not exist', { version: 77 }],
];

const broken: readonly Behaviour[] = BROKEN.map(([what, choices]) => ({
  name: `a qcow2 ${what} is refused by its header, and GetImageInfo answers at once`,
  needs: [trusted],
  run: async (at) => {
    await refusesToConvert(at, qcow2(choices), 'qcow2', 'IMAGE_MALFORMED', 'IMAGE_UNSAFE', 'FORMAT_MISMATCH');
    // An answer or a refusal, never a mistake of the agent.
    await at.agent.ask(image.getImageInfo, { path: at.path('hostile') }).catch((error: unknown) => {
      assert.match(String(error), /Refusal/);
    });
  },
}));

/** Uploads are untrusted, whatever root they go to. */
const UPLOADS: readonly (readonly [what: string, format: string, bytes: () => Buffer, ...reasons: Reason[]])[] = [
  ['a qcow2 with a base', 'qcow2', () => qcow2({ backingFile: 'base.raw', backingFormat: 'raw' }), 'IMAGE_UNSAFE'],
  ['a qcow2 whose data is elsewhere', 'qcow2', () => qcow2({ incompatible: EXTERNAL_DATA }), 'IMAGE_UNSAFE'],
  ['a qcow2 that is declared raw', 'raw', () => qcow2(), 'FORMAT_MISMATCH'],
  ['random bytes that are declared qcow2', 'qcow2', () => noise(64 * 1024), 'FORMAT_MISMATCH', 'IMAGE_MALFORMED'],
  ['a qcow2 that was cut', 'qcow2', () => qcow2().subarray(0, 70_000), 'IMAGE_MALFORMED', 'IMAGE_UNSAFE'],
  ['a VMDK that names a file of the host', 'vmdk', () => descriptor('/etc/passwd'), 'IMAGE_UNSAFE', 'IMAGE_MALFORMED'],
];

/** The text of a VMDK whose data is in another file. */
function descriptor(file: string): Buffer {
  const lines = ['# Disk DescriptorFile', 'version=1', 'CID=1', 'parentCID=ffffffff', 'createType="monolithicFlat"'];
  return Buffer.from([...lines, `RW 2 FLAT "${file}" 0`, ''].join('\n').padEnd(1024, '\n'));
}

const uploaded: readonly Behaviour[] = UPLOADS.map(([what, format, bytes, ...reasons]) => ({
  name: `an upload of ${what} is refused, and nothing is published`,
  needs: [sandbox],
  run: async (at) => {
    const refusal = await refusalFrom(at.upload(at.path('disk'), format, bytes()));
    assert.ok(
      reasons.some((reason) => reason === refusal.reason),
      `expected ${reasons.join(' or ')}, got ${refusal.summary}`,
    );
    assert.deepEqual(await at.names(), []);
  },
}));

export const hostileCases = about('hostile images', [
  ...named,
  ...broken,
  ...uploaded,
  {
    name: 'GetImageInfo describes a hostile image and says what is unsafe about it',
    run: async (at) => {
      const path = await at.write('hostile', qcow2({ backingFile: '/etc/passwd', incompatible: EXTERNAL_DATA }));
      const { backingFile, findings } = await at.info(path);
      assert.equal(backingFile, '/etc/passwd');
      assert.ok(findings.some(({ reason }) => reason === 'EXTERNAL_DATA_FILE'));
    },
  },
  {
    name: 'the chain of an image that leads out of the roots is not followed',
    needs: [trusted],
    run: async (at) => {
      const path = await at.write('hostile', qcow2({ backingFile: '/etc/passwd', backingFormat: 'raw' }));
      const request = { path, format: 'qcow2', backingChain: true };
      const { reason } = await refusalFrom(at.agent.ask(image.getImageInfo, request));
      assert.ok(['PATH_OUTSIDE_ROOTS', 'IMAGE_UNSAFE'].includes(reason), reason);
    },
  },
  {
    name: 'an image that is its own base is refused',
    needs: [trusted],
    run: (at) =>
      refusesToConvert(
        at,
        qcow2({ backingFile: at.path('hostile'), backingFormat: 'qcow2' }),
        ...(['qcow2', 'IMAGE_UNSAFE', 'IMAGE_MALFORMED'] as const),
      ),
  },
  {
    name: 'a base without its format is refused unless it is raw without doubt',
    needs: [trusted],
    run: async (at) => {
      await at.write('base', qcow2());
      const source = await at.write('hostile', qcow2({ backingFile: at.path('base') }));
      await refused(convert(at, source, 'qcow2'), 'IMAGE_UNSAFE');
    },
  },
  {
    name: 'a guest that writes a qcow2 header into its raw disk gets nothing by it',
    needs: [trusted],
    run: async (at) => {
      const bytes = qcow2({ backingFile: '/etc/passwd', backingFormat: 'raw' });
      const source = await at.write('disk.raw', bytes);
      await convert(at, source, 'raw');
      const copied = await at.content(at.path('leak.raw'));
      assert.ok(copied.equals(bytes), 'the bytes are copied as they are');
    },
  },
  {
    name: 'an overlay on a hostile image is not made',
    needs: [trusted],
    run: async (at) => {
      const backingFile = await at.write('hostile', qcow2({ incompatible: EXTERNAL_DATA }));
      const request = { path: at.path('top.qcow2'), backingFile, backingFormat: 'qcow2' };
      await refused(at.agent.operate(image.createOverlay, request), 'IMAGE_UNSAFE');
    },
  },
  {
    name: 'headers of random bytes behind the mark of each format never break the agent',
    run: async (at) => {
      const marks = ['QFI\xfb', 'QED\0', 'KDMV', 'COWD', 'vhdxfile', 'conectix', 'WithoutFreeSpace', 'LUKS\xba\xbe'];
      for (const [n, mark] of marks.entries()) {
        const bytes = noise(MIB / 4, n);
        bytes.write(mark, 0, 'latin1');
        const path = await at.write(`noise-${String(n)}`, bytes);
        const answer = await at.agent.ask(image.getImageInfo, { path }).catch((error: unknown) => error);
        assert.ok(!String(answer).includes('BUG'), `${mark}: ${String(answer)}`);
      }
    },
  },
]);
