/**
 * What a container holds becomes no program of the host: set-id bits and capabilities end where ids
 * of the host begin.
 */
import assert from 'node:assert/strict';
import { chmod, chown, copyFile, mkdir, stat } from 'node:fs/promises';
import { CAPABILITY, capabilityRoot } from '../../../src/adapters/rights/acl.js';
import { Xattrs } from '../../../src/adapters/rights/xattrs.js';
import { suiteDaemon } from '../../support/daemon.js';
import { isRoot, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { sh } from '../../support/shell.js';
import { Stranger, type Message } from '../../support/stranger.js';

const [CONTAINER, OTHER_CONTAINER, RANGE] = [100_000, 200_000, 65_536];
const toHost = (target = 0) => [{ start: CONTAINER, target, count: 50_000 }];

describe('a program of a container whose tree is shifted', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch, () => ({
    toml: [
      `[[listeners]]\naddress = "unix://${scratch.path('daemon/t.sock')}"\nrole = "tenant"`,
      `[roles.tenant]\nservices = ["FileService"]\nwrite = ["${scratch.path('daemon/images')}"]\n`,
    ].join('\n'),
  }));
  const at = (name: string) => daemon.get().image(name);
  let tenant: Stranger;
  before(function () {
    needs(this, isRoot, 'changing owners needs root');
    tenant = new Stranger(`unix://${scratch.path('daemon/t.sock')}`);
    scratch.onEnd(() => {
      tenant.close();
      return Promise.resolve();
    });
  });
  /** A tree with a program, below another folder. */
  const program = async (name: string, mode: number, owner = [CONTAINER, CONTAINER] as const) => {
    await mkdir(at(`${name}/below`), { recursive: true });
    const path = at(`${name}/below/program`);
    await copyFile('/bin/true', path);
    await chown(path, ...owner);
    await chmod(path, mode);
    return path;
  };
  const shift = async (who: Stranger, name: string, maps: Message): Promise<boolean> => {
    await who.operation('FileService/ChownForIdMaps', { path: at(name), ...maps });
    const { operations } = await daemon.get().stranger.unary('OperationService/ListOperations', {});
    const last = (operations as { warnings?: { reason: string }[] }[]).at(-1);
    return last?.warnings?.some(({ reason }) => reason === 'RIGHTS_NOT_KEPT') ?? false;
  };
  const modeOf = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8);
  const both = (maps: Message[]) => ({ uid_maps: maps, gid_maps: maps });

  const cases: [string, number, Message, string][] = [
    ['of root', 0o4755, both(toHost()), '755'],
    ['of a user of the host', 0o4755, both(toHost(1000)), '755'],
    ['of a group of the host', 0o2755, { uid_maps: [], gid_maps: toHost() }, '755'],
    ['of a group of the host, not executable by it', 0o2744, { uid_maps: [], gid_maps: toHost() }, '744'],
    ['of nobody, whom no map knows', 0o6755, both([{ start: 5, target: OTHER_CONTAINER, count: 1 }]), '755'],
    ['of a user of the host, for its group stays', 0o6755, { uid_maps: toHost(1000), gid_maps: [] }, '2755'],
    ['of another container, in which it means the same', 0o6755, both([{ ...toHost(OTHER_CONTAINER)[0] }]), '6755'],
  ];
  for (const [title, mode, maps, expected] of cases)
    it(`is a set-id one ${title}: ${mode.toString(8)} becomes ${expected}`, async () => {
      const name = title.replaceAll(' ', '-');
      const path = await program(name, mode);
      assert.equal(await shift(tenant, name, maps), mode.toString(8) !== expected, 'the warning');
      assert.equal(await modeOf(path), expected);
    });
  it('from the host into a container it stays what it is', async () => {
    const path = await program('into', 0o6755, [0, 0]);
    await shift(tenant, 'into', both([{ start: 0, target: CONTAINER, count: RANGE }]));
    assert.equal(await modeOf(path), '6755');
  });
  it('who may run every command may have it on the host too', async () => {
    const path = await program('admin', 0o4755);
    await shift(daemon.get().stranger, 'admin', both(toHost()));
    assert.equal(await modeOf(path), '4755');
  });

  describe('with capabilities', () => {
    let xattrs: Xattrs;
    before(function () {
      const loaded = Xattrs.load('itself');
      needs(this, loaded !== undefined, 'koffi has no build for this host');
      assert.ok(loaded !== undefined);
      xattrs = loaded;
    });
    const capable = async (name: string, owner = [CONTAINER, CONTAINER] as const) => {
      const path = await program(name, 0o755, owner);
      await sh('setcap', '-n', String(CONTAINER), 'cap_net_raw+ep', path);
      assert.equal(capabilityRoot(xattrs.get(path, CAPABILITY) ?? Buffer.alloc(0)), CONTAINER);
      return path;
    };
    for (const [title, owner] of [
      ['has none on the host', [CONTAINER, CONTAINER]],
      ['has none on the host, also where its owner stays', [7, 7]],
    ] as const)
      it(title, async () => {
        const path = await capable(title.replaceAll(' ', '-'), owner);
        assert.equal(await shift(tenant, title.replaceAll(' ', '-'), both(toHost())), true);
        assert.equal(xattrs.get(path, CAPABILITY), undefined);
      });
    it('has them in another container', async () => {
      const path = await capable('moved');
      await shift(tenant, 'moved', both(toHost(OTHER_CONTAINER)));
      assert.equal(capabilityRoot(xattrs.get(path, CAPABILITY) ?? Buffer.alloc(0)), OTHER_CONTAINER);
    });
  });
});
