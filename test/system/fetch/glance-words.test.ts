/**
 * What Glance says of an image: what is around its data, and by which algorithm its checksum is.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { RawServer, answer, type Asked } from '../../support/servers/raw-server.js';
import { needsSandbox } from '../../support/sandbox.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { failure, type Message } from '../../support/stranger.js';

const ID = '11111111-2222-4333-8444-555555555555';
const sized = (body: Buffer) => answer(['HTTP/1.1 200 OK', `Content-Length: ${String(body.length)}`], body);

describe('an image of Glance', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  const daemon = suiteDaemon(scratch, { toml: '[fetch]\nattempts = 1\n' });
  let server: RawServer;
  let [metadata, data, qcow2, ova]: Buffer[] = [];
  let count = 0;

  before(async () => {
    const folder = scratch.path('made');
    await mkdir(folder);
    await writeFile(`${folder}/raw`, noise(1 << 20));
    const command =
      'cd "$0" && qemu-img convert -f raw -O qcow2 raw disk.qcow2 && qemu-img convert -f raw -O vmdk raw disk.vmdk && echo x >disk.ovf && tar -cf ova disk.ovf disk.vmdk';
    await sh('sh', '-c', command, folder);
    [qcow2, ova] = [await readFile(`${folder}/disk.qcow2`), await readFile(`${folder}/ova`)];
    server = await RawServer.start(({ path }: Asked) => ({
      bytes: sized((path.endsWith('/file') ? data : metadata) ?? Buffer.alloc(0)),
    }));
    scratch.onEnd(() => server.close());
  });

  const target = () => daemon.get().image(`f${String(count)}`);
  const operation = (body: Buffer | undefined, words: Message, more: Message = {}) => {
    assert.ok(body !== undefined);
    [metadata, data] = [Buffer.from(JSON.stringify({ status: 'active', size: body.length, ...words })), body];
    count++;
    const source = { glance: { endpoint: server.origin, image_id: ID } };
    return daemon.get().stranger.all('ImageService/FetchImage', { source, target: target(), ...more });
  };
  const last = async (...args: Parameters<typeof operation>) => {
    const events = await operation(...args);
    return events.at(-1) ?? {};
  };
  const fetched = (event: Message) => (event['result'] as Message)['fetch'] as Message;
  const format = (event: Message) => (fetched(event)['info'] as Message)['format'];

  for (const [container_format, disk_format] of [
    ['ova', 'vmdk'],
    ['ovf', 'raw'],
    ['ovf', 'vmdk'],
    ['docker', 'raw'],
  ] as const)
    it(`in the container ${container_format} is no disk of ${disk_format} by itself; the disk in it is taken on request`, async () => {
      const words = { container_format, disk_format };
      const error = await failure(operation(ova, words));
      assert.equal(error.reason, 'IMAGE_MALFORMED', error.message);
      assert.match(error.message, /a tar archive.*disk\.vmdk: set archive_member/);
      assert.ok(!existsSync(target()));
      const vmdk = disk_format === 'vmdk' ? {} : { source_format: 'vmdk' };
      assert.equal(format(await last(ova, words, { archive_member: '*', ...vmdk })), 'vmdk');
    });
  it('that is no archive, whatever its container is called, is the image', async () => {
    for (const container_format of ['ovf', 'ova', 'bare', 'compressed', null])
      assert.equal(format(await last(qcow2, { container_format, disk_format: 'qcow2' })), 'qcow2');
  });
  for (const [os_hash_algo, name] of [
    ['sha3_512', 'sha3-512'],
    ['sha3_256', 'sha3-256'],
    ['sha384', 'sha384'],
    ['blake2s', 'blake2s256'],
    ['blake2b', 'blake2b512'],
  ] as const)
    it(`is verified by ${os_hash_algo}`, async () => {
      const os_hash_value = createHash(name)
        .update(qcow2 ?? '')
        .digest('hex');
      const event = await last(qcow2, { os_hash_algo, os_hash_value });
      assert.deepEqual(fetched(event)['checksum'], `${name}:${os_hash_value}`);
      const wrong = operation(qcow2, { os_hash_algo, os_hash_value: '0'.repeat(os_hash_value.length) });
      assert.equal((await failure(wrong)).reason, 'CHECKSUM_MISMATCH');
    });
  it('with a checksum by another algorithm comes with a warning, or is verified by the md5 beside it', async () => {
    const words = { os_hash_algo: 'whirlpool', os_hash_value: '00' };
    const md5 = (bytes: Buffer | string = '') => createHash('md5').update(bytes).digest('hex');
    const warnings = async ({ operation_id }: Message) => {
      const answer = await daemon.get().stranger.unary('OperationService/GetOperation', { operation_id });
      const { warnings: found = [] } = answer['operation'] as { warnings?: Message[] };
      return found.map(({ reason }) => reason);
    };
    assert.deepEqual(await warnings(await last(qcow2, words)), ['CHECKSUM_UNKNOWN']);
    assert.deepEqual(await warnings(await last(qcow2, { ...words, checksum: md5(qcow2) })), []);
    const wrong = operation(qcow2, { ...words, checksum: md5() });
    assert.equal((await failure(wrong)).reason, 'CHECKSUM_MISMATCH');
  });
});
