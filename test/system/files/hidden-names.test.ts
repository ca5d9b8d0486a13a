/**
 * Errors say nothing of what lies outside of the caller's places, not even whether there is
 * something.
 */
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { suiteDaemon } from '../../support/daemon.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import type { CallError } from '../../support/stranger.js';
import { Stranger, failure, type Message } from '../../support/stranger.js';
import { until } from '../../support/until.js';

describe('what lies outside of the places of a role', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${scratch.path('daemon/a.sock')}"\nrole = "a"`,
      `[roles.a]\nservices = ["ImageService", "FileService"]\nwrite = ["${scratch.path('daemon/images/p/a')}"]\n`,
    ].join('\n'),
  }));
  const at = (name: string) => daemon.get().image(name);
  let a: Stranger;
  before(async () => {
    a = new Stranger(`unix://${scratch.path('daemon/a.sock')}`);
    scratch.onEnd(() => {
      a.close();
      return Promise.resolve();
    });
    for (const name of ['p/a', 'b/folder']) await mkdir(at(name), { recursive: true });
    await writeFile(at('b/there.raw'), Buffer.alloc(4096));
    await symlink('/etc/passwd', at('b/leads-away'));
  });

  /** What a caller can tell two answers by, with the name taken out. */
  const seen = ({ reason, message, metadata }: CallError, name: string) =>
    JSON.stringify([reason, message, metadata]).replaceAll(name, 'NAME');
  const NAMES = ['there.raw', 'missing.raw', 'folder', 'leads-away', 'folder/missing', 'missing/missing'];

  /** Nobody can tell these apart. */
  async function assertAlike(ask: (name: string) => Promise<unknown>): Promise<void> {
    const answers = new Set<string>();
    for (const name of NAMES) {
      const error = await failure(ask(name));
      assert.equal(error.reason, 'PATH_OUTSIDE_ROOTS', name);
      answers.add(seen(error, name));
    }
    assert.equal(answers.size, 1, [...answers].join('\n'));
  }
  const info = (path: string, more: Message = {}) =>
    a.unary('ImageService/GetImageInfo', { path, format: 'qcow2', backing_chain: true, ...more });

  for (const [title, prefix] of [
    ['an absolute name', () => `${at('b')}/`],
    ['a relative name', () => '../../b/'],
  ] as const)
    it(`is not told by ${title} in a header`, async () => {
      await assertAlike(async (name) => {
        const words = ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', `${prefix()}${name}`];
        await sh('qemu-img', ...words, at('p/a/overlay.qcow2'), '1M');
        return info(at('p/a/overlay.qcow2'));
      });
    });
  it('is not told by a link', async () => {
    await symlink('../../b', at('p/a/link'));
    await assertAlike((name) => info(at(`p/a/link/${name}`)));
    await assertAlike((name) => a.unary('FileService/StatFile', { path: at(`p/a/link/${name}`) }));
    await assertAlike((name) =>
      a.operation('ImageService/CreateImage', { path: at(`p/a/link/${name}`), format: 'raw', size: '1M' }),
    );
  });
  it('does not hide what is missing in its places', async () => {
    assert.equal((await failure(info(at('p/a/missing')))).reason, 'IMAGE_NOT_FOUND');
    const create = { path: at('p/a/missing/disk'), format: 'raw', size: '1M' };
    assert.equal((await failure(a.operation('ImageService/CreateImage', create))).reason, 'PARENT_NOT_FOUND');
  });

  describe('and is backed by an image of the role', () => {
    const base = () => at('p/a/base.raw');
    const overlay = (name: string) =>
      daemon.get().stranger.operation('ImageService/CreateOverlay', {
        path: at(name),
        backing_file: base(),
        backing_format: 'raw',
      });
    const write = (offset: Message) =>
      a.send('FileService/WriteFile', [{ header: { path: base(), ...offset } }, { data: Buffer.from('X') }]);
    const changes: Record<string, () => Promise<unknown>> = {
      DeleteImage: () => a.operation('ImageService/DeleteImage', { path: base() }),
      DeleteFile: () => a.unary('FileService/DeleteFile', { path: base() }),
      WipeImage: () => a.operation('ImageService/WipeImage', { path: base(), mode: 'WIPE_MODE_ZERO' }),
      'WriteFile at an offset': () => write({ offset: '0' }),
      'WriteFile at the end': () => write({ append: true }),
      'WriteFile of all of it': () => write({}),
    };
    before(async () => {
      await writeFile(base(), Buffer.alloc(1 << 20));
      await overlay('b/customer.qcow2');
      await until(async () => (await failure(changes['DeleteImage']?.() ?? Promise.resolve())).reason !== '');
    });

    for (const [title, change] of Object.entries(changes))
      it(`is counted, not named: ${title}`, async () => {
        const error = await failure(change());
        assert.deepEqual([error.reason, error.metadata['count']], ['IMAGE_HAS_DEPENDANTS', '1']);
        assert.ok(!JSON.stringify([error.message, error.metadata]).includes('customer'));
      });
    it('is named to who may see it; others are counted with it', async () => {
      await overlay('p/a/own.qcow2');
      const path = base();
      await until(async () => {
        const error = await failure(a.operation('ImageService/DeleteImage', { path }));
        return error.metadata['count'] === '2' && error.metadata['dependants'] === at('p/a/own.qcow2');
      });
      const admin = await failure(daemon.get().stranger.operation('ImageService/DeleteImage', { path }));
      assert.deepEqual(admin.metadata['dependants']?.split('\n').sort(), [at('b/customer.qcow2'), at('p/a/own.qcow2')]);
    });
  });
});
