/**
 * What copies between hosts report, held against what is on disk at both ends and what the cable
 * between them has carried.
 */
import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { begun } from '../support/begun.js';
import { allocatedBytes, sameBytes, sparseFile } from '../support/images/disks.js';
import { installed, needs, needsNetworks } from '../support/needs.js';
import { SSH_PORT, THERE } from '../support/hosts/network.js';
import { reported } from '../support/numbers/reported.js';
import { scratchFolder } from '../support/scratch.js';
import { sh } from '../support/shell.js';
import type { Message } from '../support/stranger.js';
import { TwoAgents } from '../support/hosts/two-agents.js';

const MIB = 1024 * 1024;
const SIZE = 32 * MIB;
/** Small, so that images have several segments. */
const PULLS = '[pulls]\nsegment_mib = 4\nstreams = 2\npatience_seconds = 0\nstall_seconds = 5\n';
/** Frames, TLS records, NBD's and rsync's own words: so much more crosses than is moved. */
const OVERHEAD = 1.04;
/** Certificates, key exchanges, extents, requests and answers. */
const TALK = 256 * 1024;
/** A filesystem's own blocks for a file. */
const CLOSE = 64 * 1024;

interface Image {
  readonly name: string;
  readonly length: number;
  /** So much is not zeros. */
  readonly data: number;
  /** So much takes space. */
  readonly allocated: number;
  readonly verify: boolean;
}
const IMAGES: readonly Image[] = [
  { name: 'with holes', length: SIZE, data: 6 * MIB, allocated: 6 * MIB, verify: false },
  { name: 'with data at its end', length: SIZE, data: MIB, allocated: MIB, verify: false },
  { name: 'that is one hole', length: SIZE, data: 0, allocated: 0, verify: false },
  { name: 'of zeros that take space', length: 16 * MIB, data: 2 * MIB, allocated: 16 * MIB, verify: true },
];

describe('true numbers between hosts', function () {
  this.timeout(120_000);
  const scratch = scratchFolder();
  let agents: TwoAgents;
  const here = (name: string) => agents.a.image(name);
  const there = (name: string) => agents.b.image(name);

  before(async function () {
    needsNetworks(this);
    needs(this, installed('/usr/sbin/sshd'), 'openssh-server is not installed');
    agents = await TwoAgents.start(scratch, PULLS);
    await agents.addSsh();
    for (const at of [here, there]) {
      await sparseFile(
        at('with holes'),
        SIZE,
        [0, 9, 14, 20].map((n) => ({ at: n * MIB, length: 1.5 * MIB })),
      );
      await sparseFile(at('with data at its end'), SIZE, [{ at: SIZE - MIB, length: MIB }]);
      await writeFile(at('that is one hole'), '');
      await truncate(at('that is one hole'), SIZE);
      await sparseFile(at('thin'), 16 * MIB, [{ at: 5 * MIB, length: 2 * MIB }]);
      await sh('cp', '--sparse=never', at('thin'), at('of zeros that take space'));
    }
  });

  const ssh = (engine: string, more: Message = {}) => ({
    ...{ remote: { host: THERE.v4, port: SSH_PORT }, engine: `COPY_ENGINE_${engine}`, compression: false },
    ...more,
  });
  const back = { remote_side: 'REMOTE_SIDE_SOURCE' };
  interface Way {
    readonly title: string;
    readonly request: (name: string, target: string) => Message;
    /** Which daemon is asked, and at which end the image lies. */
    readonly by: 'a' | 'b';
    readonly from: 'a' | 'b';
    /** Of an image so much crosses. */
    readonly crosses: (image: Image) => number;
    /** The same engine, or one that looks at no holes, needs to be seen with some images only. */
    readonly images: RegExp;
    /** It goes on with what came before its daemon was killed. */
    readonly resumesAfterRestart: boolean;
  }
  const between = (source: string, target: string) => ({ source, target });
  const WAYS: readonly Way[] = [
    {
      title: 'pulled by an agent',
      by: 'b',
      from: 'a',
      request: (name, target) => agents.pullRequest(name, target),
      crosses: ({ allocated }) => allocated,
      images: /./,
      resumesAfterRestart: true,
    },
    {
      title: 'pushed by an agent',
      by: 'a',
      from: 'a',
      request: (name, target) => agents.pushRequest(name, target),
      crosses: ({ allocated }) => allocated,
      images: /with holes|zeros/,
      resumesAfterRestart: false,
    },
    {
      title: 'received from a far qemu-nbd',
      by: 'a',
      from: 'b',
      request: (name, target) => ({ ...between(there(name), here(target)), ...ssh('NBD_SSH', back) }),
      crosses: ({ allocated }) => allocated,
      images: /./,
      resumesAfterRestart: true,
    },
    {
      title: 'sent to a far qemu-nbd',
      by: 'a',
      from: 'a',
      request: (name, target) => ({ ...between(here(name), there(target)), ...ssh('NBD_SSH') }),
      // It is read here, and zeros are not sent.
      crosses: ({ data }) => data,
      images: /./,
      resumesAfterRestart: false,
    },
    {
      title: 'received by rsync',
      by: 'a',
      from: 'b',
      request: (name, target) => ({ ...between(there(name), here(target)), ...ssh('RSYNC_SSH', back) }),
      crosses: ({ length }) => length,
      images: /with holes|zeros/,
      resumesAfterRestart: false,
    },
    {
      title: 'sent by rsync',
      by: 'a',
      from: 'a',
      request: (name, target) => ({ ...between(here(name), there(target)), ...ssh('RSYNC_SSH') }),
      crosses: ({ length }) => length,
      images: /with holes|zeros/,
      resumesAfterRestart: true,
    },
  ];
  const near = (found: number, expected: number, what: string) => {
    assert.ok(Math.abs(found - expected) <= CLOSE, `${what}: ${String(found)} instead of ${String(expected)}`);
  };

  /** Runs a copy; what crossed in the direction of its bytes. */
  const crossing = async (request: Message, { by, from }: Pick<Way, 'by' | 'from'>) => {
    const direction = from === 'a' ? 'fromHere' : 'toHere';
    const before = (await agents.hosts.crossed())[direction];
    const numbers = await reported(agents[by].stranger, 'ImageService/CopyImage', request);
    const carried = (await agents.hosts.crossed())[direction] - before;
    const { moved } = numbers;
    assert.ok(carried >= moved && carried <= moved * OVERHEAD + TALK, `${String(carried)} for ${String(moved)}`);
    return numbers;
  };

  for (const [n, way] of WAYS.entries())
    for (const image of IMAGES.filter(({ name }) => way.images.test(name)))
      it(`an image ${image.name}, ${way.title}`, async () => {
        const request: Message = { ...way.request(image.name, `${image.name} ${String(n)}`), verify: image.verify };
        const { moved, skipped, last, result } = await crossing(request, way);
        near(moved, way.crosses(image), 'moved');
        assert.equal(moved + skipped, image.length);
        assert.deepEqual(last, { done: moved, total: moved, skipped });
        const made = String(request['target']);
        assert.ok(await sameBytes(String(request['source']), made));
        near(await allocatedBytes(made), image.data, 'on disk');
        assert.equal(Number(result['allocated_bytes'] ?? 0), await allocatedBytes(made));
      });

  for (const way of WAYS.filter(({ resumesAfterRestart }) => resumesAfterRestart))
    it(`the rest of an image, ${way.title} whose daemon was killed: what had come is not counted again`, async () => {
      const name = `rest ${way.title}`;
      const [data, length] = [16 * MIB, 20 * MIB];
      await sparseFile(way.from === 'a' ? here(name) : there(name), length, [{ at: 0, length: data }]);
      const request = way.request(name, `${name} copied`);
      const slowly = { ...request, bandwidth_bytes_per_second: String(4 * MIB) };
      await begun(agents[way.by].stranger, 'ImageService/CopyImage', slowly, 5 * MIB);
      const killed = agents[way.by];
      killed.process.kill('SIGKILL');
      await killed.exited;
      killed.stranger.close();
      await (way.by === 'a' ? agents.startA() : agents.startB());

      const { moved, skipped, last } = await crossing(request, way);
      assert.ok(moved > 0 && moved <= length - skipped - 4 * MIB, String(moved));
      assert.deepEqual(last, { done: length - skipped, total: length - skipped, skipped });
      assert.ok(await sameBytes(String(request['source']), String(request['target'])));
    });
});
