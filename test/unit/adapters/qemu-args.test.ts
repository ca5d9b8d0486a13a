import assert from 'node:assert/strict';
import { asAddress } from '../../../src/domain/model/address.js';
import {
  aheadBytes,
  convertArgs,
  convertOntoArgs,
  createArgs,
  mapArgs,
  measureArgs,
} from '../../../src/adapters/qemu/qemu-args.js';
import {
  checkArgs,
  commitArgs,
  nameOfLayerArgs,
  compareChainsArgs,
  compareImagesArgs,
  copyUpArgs,
  resizeArgs,
  snapshotArgs,
} from '../../../src/adapters/qemu/qemu-change-args.js';
import { inCallersWords } from '../../../src/adapters/process/callers-words.js';
import { pathInside } from '../../../src/adapters/process/sandbox.js';
import { pathOutside, plainCall, type Arg } from '../../../src/adapters/process/tool-call.js';
import type { Resolved } from '../../../src/domain/ports/handles.js';
import type { Chain, Layer } from '../../../src/domain/ports/tools.js';

const handle = (fd: number) => ({ fd, close: () => Promise.resolve() });
const file = (fd: number): Resolved => ({
  storage: 'file' as const,
  address: asAddress(`/${String(fd)}`),
  storedName: '/x',
  handle: handle(fd),
  device: 1n,
  inode: BigInt(fd),
  lengthBytes: 0n,
  allocatedBytes: 0n,
  modifyTimeNs: 0n,
  writable: true,
  trusted: true,
});
const facts = {
  format: 'qcow2',
  virtualSizeBytes: 0n,
  encrypted: false,
  dirty: false,
  corrupt: false,
  snapshots: [],
  findings: [],
} as const;
const chain: Chain = [
  { file: file(10), format: 'qcow2', facts },
  { file: file(11), format: 'raw', facts },
];
const target = { handle: handle(12), name: 'part' };
const words = (args: Arg[]) => plainCall({ tool: 'qemu-img', args, limits: {} }, pathOutside).args;
const convert = { format: 'raw', compress: false, preallocation: 'off', direct: false, shared: false } as const;

describe('qemu-img arguments', () => {
  it('a chain is spelt out to its end, each layer by its descriptor', () => {
    const [name, part] = words(convertArgs(chain, target, convert)).slice(-2);
    assert.deepEqual(JSON.parse(name?.replace('json:', '') ?? ''), {
      driver: 'qcow2',
      file: { driver: 'file', filename: '/proc/self/fd/4' },
      backing: { driver: 'raw', file: { driver: 'file', filename: '/proc/self/fd/3' }, backing: null },
    });
    assert.equal(part, '/proc/self/fd/5/part');
  });
  it('every command line that opens a chain says where it ends', () => {
    const image = { chain };
    for (const args of [
      convertArgs(chain, target, convert),
      convertOntoArgs(chain, target, { ...convert, targetIsZero: true }),
      mapArgs(chain),
      measureArgs(chain, 'qcow2'),
      resizeArgs(image, { sizeBytes: 1n, shrink: false, preallocation: 'off' }),
      copyUpArgs(image, [chain[0]]),
      compareChainsArgs(image, []),
      commitArgs(image, 1, undefined),
      nameOfLayerArgs(image, 0),
      checkArgs(image, 'none'),
      checkArgs(image, 'all'),
      compareImagesArgs(chain, chain, false),
      snapshotArgs(image, '-d', 'x'),
    ]) {
      const names = words(args).filter((word) => word.startsWith('json:'));
      assert.ok(names.length > 0, words(args).join(' '));
      for (const name of names) assert.match(name, /"backing":null,/);
    }
  });
  it('a layer has the same path whatever lies above it', () => {
    const image = { chain: [{ file: file(20), format: 'qcow2', facts }, ...chain] } as const;
    const [name = ''] = words(nameOfLayerArgs(image, 1)).slice(-1);
    const [whole = ''] = words(commitArgs(image, 1, 'x')).slice(-1);
    const layer = /"file":(.*)\}$/.exec(name)?.[1] ?? assert.fail(name);
    assert.ok(whole.includes(layer), `${layer} is not in ${whole}`);
  });
  it('writes out of order only to raw', () => {
    assert.ok(words(convertArgs(chain, target, convert)).includes('-W'));
    assert.ok(!words(convertArgs(chain, target, { ...convert, format: 'qcow2' })).includes('-W'));
  });
  it('has no more requests in flight than a limit to the rate needs, and says how much they are for', () => {
    const MIB = 1024n * 1024n;
    for (const [rate, requests] of [
      [undefined, 16],
      [1n, 1],
      [8n * MIB, 1],
      [20n * MIB, 2],
      [128n * MIB, 8],
      [1n << 60n, 16],
    ] as const) {
      const request = { ...convert, ...(rate === undefined ? {} : { bytesPerSecond: rate }) };
      const args = words(convertArgs(chain, target, request));
      assert.equal(args[args.indexOf('-m') + 1], String(requests));
      assert.equal(aheadBytes(request), BigInt(requests) * 2n * MIB);
    }
  });
  it('a snapshot name with commas stays one name', () => {
    assert.ok(words(convertArgs(chain, target, { ...convert, snapshot: 'a,b' })).includes('snapshot.name=a,,b'));
  });
  it('a passphrase is a descriptor, never a word', () => {
    const call = plainCall(
      {
        tool: 'qemu-img',
        args: createArgs(target, {
          format: 'luks',
          sizeBytes: 1n,
          preallocation: 'off',
          passphrase: Buffer.from('hush'),
        }),

        limits: {},
      },
      pathOutside,
    );
    assert.ok(call.args.includes('secret,id=target-secret,file=/proc/self/fd/3'));
    assert.ok(!call.args.join(' ').includes('hush'));
    assert.equal(call.references.length, 2);
  });
  it('an overlay names its base and does not open it', () => {
    const args = words(
      createArgs(target, {
        format: 'qcow2',
        sizeBytes: 5n,
        preallocation: 'off',
        clusterSizeBytes: 65536n,
        backing: { storedName: '/b,c', format: 'raw', lengthBytes: 5n },
      }),
    );
    assert.deepEqual(args, [
      'create',
      '-q',
      '-f',
      'qcow2',
      '-u',
      '-F',
      'raw',
      '-b',
      '/b,c',
      '-o',
      'cluster_size=65536',
      '/proc/self/fd/3/part',
      '5',
    ]);
  });
  it('what a tool says is shown with the names that callers know', () => {
    const call = { tool: 'qemu-img', args: convertArgs(chain, target, convert), limits: {} };
    for (const pathOf of [pathOutside, pathInside]) {
      const plain = plainCall(call, pathOf);
      const [whole = '', part = ''] = plain.args.slice(-2);
      const base = pathOf(plain.references[0] ?? assert.fail('no reference'), 3);
      const shown = inCallersWords(
        `Could not open '${whole}': Could not open '${base}': x\n${part}: error\njson:{"file": "${base}"}`,
        plain,
        pathOf,
      );
      assert.equal(shown, `Could not open '/10': Could not open '/11': x\n${part}: error\nan image`);
    }
  });
  it('an image of several files is opened by a descriptor that names what was opened, each file once', () => {
    const [one, two] = [file(20), file(21)];
    const [top, base] = chain;
    const described = { contentId: 'a', parentContentId: 'b', extents: [] };
    const extents = [
      { kind: 'flat' as const, file: one, lengthBytes: 1024n, offsetBytes: 512n },
      { kind: 'sparse' as const, file: two, lengthBytes: 512n, offsetBytes: 0n },
      { kind: 'zero' as const, lengthBytes: 2n ** 30n + 512n, offsetBytes: 0n },
    ];
    const layer: Layer = { file: file(19), format: 'vmdk', facts: { ...facts, described }, extents };
    const call = { tool: 'qemu-img', args: mapArgs([top, layer, base ?? top]), limits: {} };
    for (const pathOf of [pathOutside, pathInside]) {
      const plain = plainCall(call, pathOf);
      const name = plain.args.at(-1) ?? '';
      const spelt = JSON.parse(name.replace('json:', '')) as { backing: { file: { filename: string } } };
      const { filename } = spelt.backing.file;
      const texts = plain.references.flatMap((reference, at) =>
        pathOf(reference, 3 + at) === filename && 'secret' in reference
          ? [Buffer.from(reference.secret).toString()]
          : [],
      );
      const paths = [one, two].map((each) => {
        const at = plain.references.findIndex((reference) => 'read' in reference && reference.read === each);
        return pathOf(plain.references[at] ?? assert.fail('it is not opened'), 3 + at);
      });
      const [text = '', ...more] = texts;
      assert.deepEqual(more, []);
      assert.match(text, /^CID=a\nparentCID=b$/m);
      const lines = text.split('\n').filter((line) => line.startsWith('RW'));
      assert.deepEqual(lines.slice(0, 2), [`RW 2 FLAT "${paths[0] ?? ''}" 1`, `RW 1 SPARSE "${paths[1] ?? ''}"`]);
      assert.match(lines.slice(2).join('\n'), /^RW 2097152 SPARSE "[^"]+"\nRW 1 SPARSE "[^"]+"$/);
      assert.ok(!plain.references.some((reference) => 'read' in reference && reference.read === layer.file));
      const shown = inCallersWords(`Could not open '${filename}': ${paths[0] ?? ''}: x`, plain, pathOf);
      assert.equal(shown, "Could not open '/19': /20: x");
    }
  });
});
