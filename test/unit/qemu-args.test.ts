import assert from 'node:assert/strict';
import { asAddress } from '../../src/domain/address.js';
import type { Chain, Resolved } from '../../src/domain/ports.js';
import { convertArgs, createArgs } from '../../src/adapters/qemu-args.js';
import { pathOutside, plainCall, type Arg } from '../../src/adapters/tool-call.js';

const handle = (fd: number) => ({ fd, close: () => Promise.resolve() });
const file = (fd: number): Resolved => ({
  storage: 'file' as const,
  address: asAddress('/x'),
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
  it('a chain is spelt out, each layer by its descriptor', () => {
    assert.deepEqual(words(convertArgs(chain, target, convert)).slice(-3), [
      '--image-opts',
      'driver=qcow2,file.driver=file,file.filename=/proc/self/fd/3,backing.driver=raw,backing.file.driver=file,backing.file.filename=/proc/self/fd/4',
      '/proc/self/fd/5/part',
    ]);
  });
  it('writes out of order only to raw', () => {
    assert.ok(words(convertArgs(chain, target, convert)).includes('-W'));
    assert.ok(!words(convertArgs(chain, target, { ...convert, format: 'qcow2' })).includes('-W'));
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
});
