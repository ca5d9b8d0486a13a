/** Every errno has a name, a sentence and a reason, whatever libuv knows of it. */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { errnoOf, systemError } from '../../../src/adapters/linux/errno.js';
import { ERRNOS } from '../../../src/adapters/linux/errno-table.js';
import { assertSandboxed } from '../../../src/adapters/process/sandbox.js';
import { toolReason } from '../../../src/adapters/linux/tool-words.js';
import { installed, needs } from '../../support/needs.js';
import { sh } from '../../support/shell.js';

/** As fs throws one that libuv has no name for. */
function unnamed(errno: number): Error {
  const text = `Unknown system error -${String(errno)}`;
  return Object.assign(new Error(`${text}: ${text}, write`), { errno: -errno, code: text, syscall: 'write' });
}

describe('errors of the system', () => {
  it('has every number that the C library has, with its words', async function () {
    needs(this, installed('python3'), 'python3 is not installed');
    const program = 'import os; [print(n, os.strerror(n), sep="\\t") for n in range(1, 134)]';
    const lines = (await sh('env', 'LC_ALL=C', 'python3', '-c', program)).trim().split('\n');
    const known = lines.map((line) => line.split('\t')).filter(([, text = '']) => !text.startsWith('Unknown'));
    assert.deepEqual(
      ERRNOS.map(([number, , sentence]) => [String(number), sentence]),
      known,
    );
  });

  it('names them as Node does, where that knows them', () => {
    const ours = new Map(ERRNOS.map(([number, name]) => [name, number]));
    for (const [name, number] of Object.entries(constants.errno))
      if (!['EWOULDBLOCK', 'ENOTSUP'].includes(name)) assert.equal(ours.get(name), number, name);
  });

  it("takes no other library's numbers for the system's", () => {
    // As zlib says that its input ended too early.
    const ofZlib = Object.assign(new Error('unexpected end of file'), { errno: -5, code: 'Z_BUF_ERROR' });
    assert.equal(errnoOf(ofZlib), 'Z_BUF_ERROR');
  });

  it('says no unknown error to a caller, and INTERNAL only where a disk failed', () => {
    for (const [number, name, sentence, reason] of ERRNOS) {
      const error = systemError(unnamed(number), '/r/x');
      assert.deepEqual([error.reason, error.message], [reason, `/r/x: ${sentence} (${name})`]);
      assert.equal(errnoOf(unnamed(number)), name);
    }
    for (const [number, reason] of [
      [122, 'NO_SPACE'],
      [116, 'ROOT_UNAVAILABLE'],
      [107, 'ROOT_UNAVAILABLE'],
      [112, 'ROOT_UNAVAILABLE'],
      [117, 'IO_ERROR'],
      [12, 'HOST_EXHAUSTED'],
      [26, 'IMAGE_IN_USE'],
      [30, 'ROOT_READ_ONLY'],
    ] as const)
      assert.equal(systemError(unnamed(number), '/r/x').reason, reason);
    // Another name for the same number; and what is no error of the system.
    assert.equal(systemError(Object.assign(new Error(), { code: 'ENOTSUP' }), '/r').reason, 'UNSUPPORTED_BY_BACKEND');
    assert.equal(systemError(Object.assign(new Error(), { code: 'ERR_OUT_OF_RANGE' }), '/r').reason, 'BUG');
    assert.equal(systemError(new Error('something'), '/r').reason, 'BUG');
  });

  it('reads the same sentences off tools, at the ends of lines only', () => {
    const cases: [string, string | undefined][] = [
      ['qemu-img: error while writing at byte 0: No space left on device', 'NO_SPACE'],
      ["qemu-img: Could not open '/t/part': Read-only file system", 'ROOT_READ_ONLY'],
      ['qemu-img: error while writing at byte 9: Disk quota exceeded\nqemu-img: bailing out', 'NO_SPACE'],
      ['qemu-img: x: Stale file handle', 'ROOT_UNAVAILABLE'],
      ["cp: cannot create regular file '/t': Transport endpoint is not connected", 'ROOT_UNAVAILABLE'],
      ['rsync: write failed on "/x": File too large (27)', 'UNSUPPORTED_BY_BACKEND'],
      [
        'bzip2: I/O or other error, bailing out.\n\tInput/output error (5)\nbzip2: Structure needs cleaning',
        'IO_ERROR',
      ],
      ['qemu-img: error while reading from old backing file', 'IO_ERROR'],
      ['qemu-img: error while reading from new backing file\n', 'IO_ERROR'],
      ['qemu-img: Sector allocation test failed for json:{"driver":"qcow2"}', 'IO_ERROR'],
      ["qemu-img: Could not open 'error while reading from old backing file': no such format", undefined],
      ["qemu-img: Could not open '/r/a: No space left on device.raw': no such format", undefined],
      ['qemu-img: Invalid argument', undefined],
      ['qemu-img: Could not connect: Connection refused', undefined],
      ['', undefined],
    ];
    for (const [words, reason] of cases) assert.equal(toolReason(words), reason, words);
  });

  it('tells a disk that does not answer from a sandbox that cannot be made', () => {
    const cases: [string, string][] = [
      ["bwrap: Can't stat fd 3: Input/output error", 'IO_ERROR'],
      ["bwrap: Can't find source path /proc/self/fd/3: Stale file handle", 'ROOT_UNAVAILABLE'],
      ["bwrap: Can't get type of source /r/a: Transport endpoint is not connected", 'ROOT_UNAVAILABLE'],
      ["bwrap: Can't find source path /proc/self/fd/3: No such file or directory", 'SOURCE_CHANGED'],
      ['bwrap: Race condition binding dirfd', 'SOURCE_CHANGED'],
      ['bwrap: Creating new namespace failed: Operation not permitted', 'SANDBOX_UNAVAILABLE'],
      ['bwrap: setting up uid map: Permission denied', 'SANDBOX_UNAVAILABLE'],
    ];
    for (const [words, reason] of cases) assert.throws(() => assertSandboxed('qemu-img', words), { reason }, words);
    assertSandboxed('qemu-img', 'qemu-img: bwrap: Can’t stat fd 3: Input/output error');
  });
});
