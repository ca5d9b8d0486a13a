/** Which disk of a domain is its root disk. */
import assert from 'node:assert/strict';
import { DomainXml } from '../../../src/adapters/host/domain-xml.js';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { findRootDisk } from '../../../src/domain/verbs/find-root-disk.js';
import { turnsDuring } from '../../support/turns.js';

const domain = (type: string, devices: string, os = 'hvm') =>
  `<domain type='${type}'><os><type>${os}</type></os><devices>${devices}</devices></domain>`;
const nobodyCancels = { identity: 'nobody', signal: new AbortController().signal };
const find = async (xml: string) => findRootDisk(await new DomainXml().read(xml, nobodyCancels));
const reasonOf = async (xml: string) => {
  try {
    return JSON.stringify(await find(xml));
  } catch (error) {
    if (error instanceof HostlerError) return error.reason;
    throw error;
  }
};

describe('the root disk of a domain', () => {
  const found: [string, string, { path: string; format?: string }][] = [
    [
      'kvm, a file',
      domain('kvm', `<disk type='file'><driver name='qemu' type='qcow2'/><source file='/tmp/hello'/></disk>`),
      { path: '/tmp/hello', format: 'qcow2' },
    ],
    [
      'kvm, a block device',
      domain('kvm', `<disk type='block'><driver name='qemu' type='raw'/><source dev='/dev/nova-vg/hello'/></disk>`),
      { path: '/dev/nova-vg/hello', format: 'raw' },
    ],
    [
      'kvm, rbd',
      domain(
        'kvm',
        `<disk type='network'><driver type='raw'/><source protocol='rbd' name='pool/image'><host name='a'/></source></disk>`,
      ),
      { path: 'rbd:pool/image', format: 'raw' },
    ],
    [
      'lxc',
      domain('lxc', `<filesystem type='mount'><source dir='/myhome/rootfs'/></filesystem>`),
      { path: '/myhome/disk' },
    ],
    [
      'lxc, the last rootfs, with something below it',
      domain('lxc', `<filesystem><driver type='loop'/><source dir='/rootfs/a/rootfs/b'/></filesystem>`),
      { path: '/rootfs/a/disk', format: 'loop' },
    ],
    [
      'parallels exe',
      domain(
        'parallels',
        `<filesystem type='file'><driver type='ploop'/><source file='/test/disk'/></filesystem>`,
        'exe',
      ),
      { path: '/test/disk', format: 'ploop' },
    ],
    [
      'parallels hvm',
      domain('parallels', `<filesystem><source file='/no'/></filesystem><disk><source file='/yes'/></disk>`),
      { path: '/yes' },
    ],
    ['xen, aio', domain('xen', `<disk><driver type='aio'/><source file='/x'/></disk>`), { path: '/x', format: 'raw' }],
    [
      'the first of several disks, and names that are written with entities',
      domain(
        'kvm',
        `<!-- a disk --><disk><source file='/a&amp;b&#x41;&quot;'/></disk><disk><source file='/c'/></disk>`,
      ),
      { path: '/a&bA"' },
    ],
    ...(
      [
        [
          'an ISO before it',
          `<disk device='cdrom'><source file='/iso'/></disk><disk device='disk'><source file='/r'/></disk>`,
        ],
        ['an empty drive before it', `<disk device='cdrom'/><disk><source file='/r'/></disk>`],
        [
          'a floppy before it',
          `<disk device='floppy'><source file='/f'/></disk><disk device='lun'><source dev='/r'/></disk>`,
        ],
        ['the order of booting', `<disk><source file='/d'/></disk><disk><source file='/r'/><boot order='1'/></disk>`],
        [
          'an order that begins with a drive',
          `<disk device='cdrom'><source file='/iso'/><boot order='1'/></disk><disk><source file='/d'/><boot order='10'/></disk><disk><source file='/r'/><boot order='2'/></disk>`,
        ],
        ['an order that is none', `<disk><source file='/r'/></disk><disk><source file='/d'/><boot order='x'/></disk>`],
      ] as const
    ).map(([title, devices]): [string, string, { path: string }] => [title, domain('kvm', devices), { path: '/r' }]),
    [
      'lxc, the filesystem of /',
      domain(
        'lxc',
        `<filesystem><source dir='/data/rootfs'/><target dir='/data'/></filesystem><filesystem><source dir='/c/rootfs'/><target dir='/'/></filesystem>`,
      ),
      { path: '/c/disk' },
    ],
  ];
  for (const [title, xml, expected] of found)
    it(`parity row 12: ${title}`, async () => {
      assert.deepEqual(await find(xml), expected);
    });

  const none: [string, string][] = [
    ['no source', domain('kvm', '<disk><driver type="raw"/></disk>')],
    ['an empty source', domain('kvm', '<disk><source file=""/></disk>')],
    ['a network that is no rbd', domain('kvm', '<disk><source protocol="nbd" name="x"/></disk>')],
    ['no disk', domain('kvm', '')],
    ['a drive only', domain('kvm', `<disk device='cdrom'><source file='/iso'/></disk>`)],
    ['no devices', `<domain type='kvm'/>`],
    ['lxc without a rootfs', domain('lxc', `<filesystem><source dir='/myhome/root'/></filesystem>`)],
    ['lxc with a folder that ends so', domain('lxc', `<filesystem><source dir='/x/myrootfs'/></filesystem>`)],
  ];
  for (const [title, xml] of none)
    it(`parity row 12: ROOT_DISK_NOT_FOUND: ${title}`, async () => {
      assert.equal(await reasonOf(xml), 'ROOT_DISK_NOT_FOUND');
    });

  const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${String(i + 1)} "${`&l${String(i)};`.repeat(10)}">`);
  const refused: [string, string][] = [
    ['nothing', ''],
    ['no XML', 'hello'],
    ['not closed', '<domain><devices>'],
    ['another document', '<network/>'],
    ['two documents', '<domain/><domain/>'],
    ['a document type', '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain/>'],
    ['an entity', '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><domain type="&x;"/>'],
    ['a bomb', `<!DOCTYPE lolz [<!ENTITY l0 "lol">${laughs.join('')}]><domain type="&l9;"/>`],
    ['an entity that nobody knows', '<domain type="&x;"/>'],
    ['a document that is too long', domain('kvm', ' '.repeat(600_000))],
  ];
  for (const [title, xml] of refused)
    it(`parity row 12: INVALID_FIELD: ${title}`, async () => {
      assert.equal(await reasonOf(xml), 'INVALID_FIELD');
    });

  const deep = '<a>'.repeat(60_000);
  const numbered = (count: number, text: (n: string) => string) =>
    Array.from({ length: count }, (_, n) => text(n.toString(36))).join('');
  const costly: [string, string, string][] = [
    ['names for each folder', numbered(20_000, (n) => `<d xmlns:a${n}='u'>`), 'INVALID_FIELD'],
    ['names in one folder', `<domain ${numbered(30_000, (n) => ` xmlns:a${n}='u'`)}/>`, 'ROOT_DISK_NOT_FOUND'],
    ['attributes', `<domain ${numbered(40_000, (n) => ` a${n}=''`)}/>`, 'ROOT_DISK_NOT_FOUND'],
    ['siblings', `<domain>${'<a/>'.repeat(100_000)}</domain>`, 'ROOT_DISK_NOT_FOUND'],
    ['folders below folders', `<domain>${deep}${deep.replaceAll('<', '</')}</domain>`, 'ROOT_DISK_NOT_FOUND'],
    ['remarks', `<domain>${'<!---->'.repeat(60_000)}</domain>`, 'ROOT_DISK_NOT_FOUND'],
  ];
  for (const [title, xml, expected] of costly)
    it(`many ${title}: others have their turn, and there is an answer`, async () => {
      const { result, turns } = await turnsDuring(() => reasonOf(xml));
      // A busy machine may take too long for it.
      assert.ok([expected, 'INVALID_FIELD'].includes(result), result);
      assert.ok(turns > 10, `${String(turns)} turns`);
    });

  it('who has gone gets no answer, and the next one is not kept waiting', async () => {
    const reader = new DomainXml();
    const gone = new AbortController();
    const costs = `<domain>${'<a/>'.repeat(100_000)}</domain>`;
    const first = reader.read(costs, { identity: 'a', signal: gone.signal });
    const second = reader.read(costs, { identity: 'a', signal: gone.signal });
    const third = reader.read(costs, nobodyCancels);
    gone.abort(new HostlerError('CANCELLED', 'gone'));
    await Promise.all([first, second].map((read) => assert.rejects(read, { reason: 'CANCELLED' })));
    assert.deepEqual(await third, { virtType: '', filesystems: [], disks: [] });
  });
});
