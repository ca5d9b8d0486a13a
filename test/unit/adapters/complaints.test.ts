/** Which words on standard error are a failure although the exit code says that all is well. */
import assert from 'node:assert/strict';
import { Complaints, HARMLESS, isJudged } from '../../../src/adapters/process/complaints.js';

const HANDLE = { fd: 5, close: () => Promise.resolve() };
const [READ, WRITE] = [{ read: { handle: HANDLE } }, { write: { handle: HANDLE } }];

function complaints(tool: string, verb: string, ...pieces: readonly string[]): string {
  const heard = new Complaints({ tool, args: [verb] }, 4096);
  for (const piece of pieces) heard.add(Buffer.from(piece));
  return heard.end();
}

describe('complaints of tools', () => {
  it('every harmless sentence names its source and a version of the tool', () => {
    for (const { source } of HARMLESS) assert.match(source, /^[\w ]+ \d+\.\d+, [\w/.-]+: /);
  });

  for (const [tool, verb, line] of [
    ['qemu-img', 'rebase', 'qemu-img: Failed to flush the L2 table cache: Input/output error'],
    ['qemu-img', 'create', 'qemu-img: Failed to flush the refcount block cache: No space left on device'],
    ['qemu-img', 'convert', 'qemu-img: Failed to open /dev/null for OFD lock probing: No such file or directory'],
    ['qemu-img', 'check', 'qemu-img: Lost persistent bitmaps during inactivation of node'],
    ['qemu-img', 'check', 'qemu-img: Failed to flush the refcount block cache: Input/output error'],
    ['qemu-img', 'resize', 'ERROR cluster 5 refcount=1 reference=2'],
    ['qemu-img', 'commit', 'what no version says today'],
    ['qemu-img', 'convert', 'qemu: module block-rbd not found, do you want to install qemu-block-extra package?'],
    ['cp', '--reflink=always', 'cp: preserving times for part: Input/output error'],
    ['mv', '-nT', 'mv: cannot fsync'],
    ['fallocate', '-p', 'fallocate: something'],
    ['rsync', '--sparse', 'rsync: [receiver] failed to set times on "/part": Input/output error (5)'],
    ['rsync', '--sparse', 'rsync warning: some files vanished before they could be transferred (code 24)'],
    ['rsync', '--sparse', 'IO error encountered -- skipping file deletion'],
    ['rbd', 'flatten', 'rbd: flatten error: (5) Input/output error'],
    ['rbd', 'flatten', 'Image flatten: 40% complete...failed.'],
  ] as const)
    it(`${tool} ${verb}: ${line}`, () => {
      assert.equal(complaints(tool, verb, `${line}\n`), line);
      assert.equal(complaints(tool, verb, line), line, 'without a line end');
    });

  for (const [tool, verb, line] of [
    ['qemu-img', 'resize', 'Repairing cluster 5 refcount=1 reference=2'],
    ['qemu-img', 'resize', 'Leaked cluster 7 refcount=1 reference=0'],
    ['qemu-img', 'check', 'ERROR cluster 5 refcount=1 reference=2'],
    ['qemu-img', 'check', 'ERROR OFLAG_COPIED data cluster: l2_entry=8000000000050000 refcount=2'],
    ['qemu-img', 'convert', '2026-11-28T10:00:00.123+0000 7f12345678 -1 auth: unable to find a keyring on /etc/x'],
    [
      'qemu-img',
      'convert',
      'qemu: module block-block-dmg-bz2 not found, do you want to install qemu-block-extra package?',
    ],
    ['rbd', 'flatten', 'Image flatten: 1% complete...\rImage flatten: 100% complete...done.'],
    ['rsync', '--sparse', 'Welcome to host B. ERROR reports go to the desk.'],
    ['rsync', '--sparse', "Warning: Permanently added '10.0.0.2' (ED25519) to the list of known hosts."],
    ['rsync', '--sparse', 'WARNING: part failed verification -- update retained (will try again).'],
    ['qemu-img', 'rebase', 'nice: cannot set niceness: Permission denied'],
  ] as const)
    it(`${tool} ${verb} says without harm: ${line}`, () => {
      assert.equal(complaints(tool, verb, `${line}\n\n`), '');
    });

  it('one complaint among many harmless lines, in whatever pieces it comes', () => {
    const many = 'Repairing cluster 5 refcount=1 reference=2\n'.repeat(1000);
    const line = 'qemu-img: Failed to flush the L2 table cache: Input/output error';
    assert.equal(complaints('qemu-img', 'check', many, line.slice(0, 9), line.slice(9), `\n${many}`), line);
  });

  it('counts for what writes, and for what says that its silence is its answer', () => {
    assert.equal(isJudged({ args: ['resize', ['x=', WRITE]] }), true);
    assert.equal(isJudged({ args: ['convert', [READ], [WRITE]] }), true);
    assert.equal(isJudged({ args: ['info', [READ]] }), false);
    assert.equal(isJudged({ args: ['push'], silent: true }), true);
    assert.equal(isJudged({ args: [[WRITE]], silent: false }), false);
  });
});
