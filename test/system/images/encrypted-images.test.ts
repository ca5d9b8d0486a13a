/**
 * Verbs that open an encrypted image: with its passphrase they do what they do, without it they say
 * that it is missing.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { callByName } from '../../support/reasons/work.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh, tryRun } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const MIB = 1 << 20;
const PASSPHRASE = 'hunter2, "quoted"';

describe('encrypted images', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const at = (name: string) => daemon.get().image(name);
  const call = (rpc: string, request: Message) => callByName(daemon.get().stranger, rpc, request);
  const secret = { passphrase: Buffer.from(PASSPHRASE) };
  const wrong = { passphrase: Buffer.from('of another image') };
  const object = () => ['--object', `secret,id=s,file=${scratch.path('secret')}`];
  /** On a busy machine making a LUKS header fails now and then: it measures the processor. */
  const create = async (path: string, format: string, options: string, ...more: string[]) => {
    for (let tries = 1; ; tries++) {
      const args = ['create', '-q', ...object(), '-f', format, '-o', options, ...more, path, '4M'];
      const { code, stderr } = await tryRun('qemu-img', args);
      if (code === 0) return;
      assert.ok(tries < 20 && stderr.includes('Unable to get accurate CPU usage'), stderr);
    }
  };
  const opened = (path: string, backing = '') =>
    `driver=qcow2,encrypt.format=luks,encrypt.key-secret=s,file.driver=file,file.filename=${path}${backing}`;
  const write = (image: string, pattern: number) =>
    sh('qemu-io', ...object(), '--image-opts', '-c', `write -P ${String(pattern)} 1M 1M`, image);

  before(async () => {
    await sh('sh', '-c', `printf %s "$1" > "$2"`, 'sh', PASSPHRASE, scratch.path('secret'));
    const luks = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
    await create(at('base'), 'qcow2', luks);
    await create(at('over'), 'qcow2', luks, '-u', '-F', 'qcow2', '-b', at('base'));
    await create(at('luks'), 'luks', 'key-secret=s,iter-time=10');
    await create(at('other'), 'qcow2', luks);
    await sh('qemu-img', 'create', '-q', '-f', 'qcow2', at('plain'), '4M');
    await sh('qemu-io', '-f', 'qcow2', '-c', 'write -P 3 1M 1M', at('plain'));
    await write(opened(at('base')), 1);
    const below = `,backing.driver=qcow2,backing.encrypt.format=luks,backing.encrypt.key-secret=s,backing.file.filename=${at('base')}`;
    await sh('qemu-io', ...object(), '--image-opts', '-c', 'write -P 2 2M 1M', opened(at('over'), below));
  });

  /** What was fetched has the content of the image, and no passphrase. */
  const assertOpened = async (image: string, format: string) => {
    const { info } = await daemon.get().stranger.unary('ImageService/GetImageInfo', { path: at('fetched'), format });
    assert.doesNotMatch(JSON.stringify(info), /encrypted/);
    const content = { first: at(image), first_format: image === 'luks' ? 'luks' : 'qcow2', first_secret: secret };
    await call('CompareImages', { ...content, second: at('fetched'), second_format: format });
  };
  const qcow2 = { format: 'qcow2', secret };
  const cases: [string, string, (path: string) => Message][] = [
    ['MapImage', 'over', (path) => ({ path, ...qcow2 })],
    ['MeasureImage', 'over', (path) => ({ path, ...qcow2, target_format: 'qcow2' })],
    ['CheckImage', 'over', (path) => ({ path, ...qcow2 })],
    ['CheckImage', 'over', (path) => ({ path, ...qcow2, repair: 'REPAIR_MODE_ALL' })],
    ['ResizeImage', 'over', (path) => ({ path, ...qcow2, size: '8M' })],
    ['ResizeImage', 'luks', (path) => ({ path, format: 'luks', secret, size: '8M' })],
    ['CreateSnapshot', 'over', (path) => ({ path, ...qcow2, snapshot: 'one' })],
    ['CommitImage', 'over', (path) => ({ path, ...qcow2, allow_dependants: true })],
    ['RebaseImage', 'over', (path) => ({ path, ...qcow2 })],
    [
      'CompareImages',
      'over',
      (first) => ({
        first,
        first_format: 'qcow2',
        second: at('luks'),
        second_format: 'luks',
        first_secret: secret,
        second_secret: secret,
      }),
    ],
    [
      'ConvertImage',
      'over',
      (source) => ({ source, source_format: 'qcow2', source_secret: secret, target: at('raw'), target_format: 'raw' }),
    ],
  ];
  cases.push([
    'ExtractSnapshot',
    'over',
    (path) => ({ path, source_format: 'qcow2', secret, target: at('raw'), target_format: 'raw', overwrite: true }),
  ]);
  for (const [image, backing, format] of [
    ['over', 'other', 'qcow2'],
    ['over', 'luks', 'luks'],
    ['plain', 'base', 'qcow2'],
    ['plain', 'luks', 'luks'],
  ] as const)
    cases.push([
      'RebaseImage',
      image,
      (path) => ({ path, ...qcow2, backing_file: at(backing), backing_format: format }),
    ]);
  for (const [n, [rpc, image, request]] of cases.entries())
    it(`${rpc} of ${image}, ${String(n)}: with the passphrase, with a wrong one, with none`, async () => {
      const path = at(`${image}-${String(n)}`);
      await copyFile(at(image), path);
      const good = request(path);
      const named = Object.keys(good).filter((field) => field.endsWith('secret'));
      for (const other of [wrong, undefined])
        for (const field of named) {
          const error = await failure(call(rpc, { ...good, [field]: other }));
          assert.equal(error.reason, 'SECRET_REQUIRED', `${field}: ${error.message}`);
          assert.ok(!error.message.includes('hunter2') && !error.message.includes('of another image'), error.message);
        }
      await call(rpc, good);
      if (rpc === 'ConvertImage' || rpc === 'ExtractSnapshot') {
        const content = await readFile(at('raw'));
        assert.deepEqual([content[0], content[MIB], content[2 * MIB], content.length], [0, 1, 2, 4 * MIB]);
      }
      await rm(path);
    });

  const fetched = (image: string, format: string, more: Message = {}) => ({
    source: { file: { path: at(image) } },
    target: at('fetched'),
    target_format: format,
    overwrite: true,
    ...more,
  });
  for (const [image, format, more] of [
    ['base', 'raw', {}],
    ['base', 'qcow2', { compat: '0.10' }],
    ['base', 'vdi', {}],
    ['luks', 'raw', {}],
    ['luks', 'qcow2', {}],
  ] as const)
    it(`FetchImage of ${image} as ${format}: with the passphrase, with a wrong one, with none`, async () => {
      const request = fetched(image, format, more);
      for (const other of [wrong, undefined])
        assert.equal(
          (await failure(call('FetchImage', { ...request, source_secret: other }))).reason,
          'SECRET_REQUIRED',
        );
      await call('FetchImage', { ...request, source_secret: secret });
      await assertOpened(image, format);
    });

  it('FetchImage keeps an encrypted image as it is, and opens it where the passphrase is given', async () => {
    await call('FetchImage', fetched('base', 'qcow2'));
    assert.ok((await readFile(at('fetched'))).equals(await readFile(at('base'))));
    await call('FetchImage', fetched('base', 'qcow2', { source_secret: secret }));
    await assertOpened('base', 'qcow2');
    await call('FetchImage', fetched('plain', 'qcow2', { source_secret: secret }));
    assert.ok((await readFile(at('fetched'))).equals(await readFile(at('plain'))));
  });

  it('FetchImage opens nothing for the cache, and nothing that is kept as it is', async () => {
    const url = { http: { url: 'http://127.0.0.1:1/base' } };
    const request = fetched('base', 'raw', { source: url, source_secret: secret });
    for (const wish of [{ use_cache: true }, { target_format: '' }]) {
      const error = await failure(call('FetchImage', { ...request, ...wish }));
      assert.deepEqual([error.reason, error.fields], ['INVALID_FIELD', ['source_secret']]);
    }
  });

  it('snapshots: made, reverted to, removed', async () => {
    await copyFile(at('base'), at('snapshots'));
    const request = { path: at('snapshots'), ...qcow2, snapshot: 'one' };
    await call('CreateSnapshot', request);
    await write(opened(at('snapshots')), 9);
    for (const other of [wrong, undefined])
      for (const rpc of ['RevertSnapshot', 'DeleteSnapshot'])
        assert.equal((await failure(call(rpc, { ...request, secret: other }))).reason, 'SECRET_REQUIRED');
    const extract = { path: at('snapshots'), source_format: 'qcow2', snapshot: 'one', target_format: 'raw' };
    for (const other of [wrong, undefined]) {
      const error = await failure(call('ExtractSnapshot', { ...extract, target: at('one.raw'), secret: other }));
      assert.equal(error.reason, 'SECRET_REQUIRED');
    }
    await call('ExtractSnapshot', { ...extract, target: at('one.raw'), secret });
    const content = await readFile(at('one.raw'));
    assert.deepEqual([content[0], content[MIB], content.length], [0, 1, 4 * MIB]);
    await call('RevertSnapshot', request);
    await call('DeleteSnapshot', request);
    const same = { first: at('snapshots'), second: at('base'), first_format: 'qcow2', second_format: 'qcow2' };
    await call('CompareImages', { ...same, first_secret: secret, second_secret: secret });
  });

  for (const format of ['qcow2', 'qcow'])
    it(`${format} encrypted as before LUKS: every verb that reads it`, async () => {
      const [path, disk] = [at(`old.${format}`), Buffer.alloc(4 * MIB)];
      disk.fill(7, MIB, 2 * MIB);
      await writeFile(at('disk'), disk);
      const short = { passphrase: Buffer.from('of 16 bytes most') };
      await writeFile(scratch.path('short'), short.passphrase);
      const options = ['-o', 'encrypt.format=aes,encrypt.key-secret=s', '-f', 'raw', '-O', format, at('disk'), path];
      await sh('qemu-img', 'convert', '--object', `secret,id=s,file=${scratch.path('short')}`, ...options);
      const target = { target: at('raw'), target_format: 'raw', overwrite: true };
      const reads: [string, Message, string][] = [
        ['ConvertImage', { source: path, source_format: format, ...target }, 'source_secret'],
        ['ExtractSnapshot', { path, source_format: format, ...target }, 'secret'],
        ['MapImage', { path, format }, 'secret'],
        ['MeasureImage', { path, format, target_format: 'qcow2' }, 'secret'],
        [
          'CompareImages',
          { first: path, first_format: format, second: at('disk'), second_format: 'raw' },
          'first_secret',
        ],
      ];
      if (format === 'qcow2') {
        reads.push(['CheckImage', { path, format }, 'secret']);
        reads.push(['CreateSnapshot', { path, format, snapshot: 'one' }, 'secret']);
        reads.push(['ExtractSnapshot', { path, source_format: format, snapshot: 'one', ...target }, 'secret']);
        reads.push(['ResizeImage', { path, format, size: '8M' }, 'secret']);
      }
      for (const [rpc, request, field] of reads) {
        await rm(at('raw'), { force: true });
        assert.equal((await failure(call(rpc, request))).reason, 'SECRET_REQUIRED', rpc);
        await call(rpc, { ...request, [field]: short });
        if ('target' in request) assert.ok((await readFile(at('raw'))).equals(disk), rpc);
      }
    });

  it('no passphrase is in a log, a journal or an operation', async () => {
    const { operations } = await daemon.get().stranger.unary('OperationService/ListOperations', {});
    assert.doesNotMatch(JSON.stringify(operations), /hunter2/);
    assert.equal((await tryRun('grep', ['-rqs', 'hunter2', scratch.path('daemon/state')])).code, 1);
  });
});
