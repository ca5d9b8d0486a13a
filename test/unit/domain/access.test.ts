import assert from 'node:assert/strict';
import { Authority } from '../../../src/domain/access/authority.js';
import { decide, type AccessRequest } from '../../../src/domain/access/decide.js';
import { mayCancel, maySee } from '../../../src/domain/access/ownership.js';
import { BUILT_IN, liesIn, roleOf } from '../../../src/domain/access/role.js';
import { Throttle } from '../../../src/domain/access/audit.js';
import { accessRequestOf } from '../../../src/handlers/access-request.js';
import { RPC_TABLE } from '../../../src/handlers/rpc-table.js';
import { certificateNames } from '../../../src/protocol/certificate-names.js';

const attempt: AccessRequest = { service: 'ImageService', method: 'CopyImage', access: 'change', places: [] };
const backup = roleOf('backup', {
  methods: ['CopyImage', 'Execute'],
  read: ['/srv/a'],
  write: ['/srv/b', 'rbd:pool'],
  commands: ['lvs'],
  labels: { team: 'x' },
});
const there = { address: '/far/a/x', need: 'read', host: 'images.example', agent: false } as const;
const reasonOf = (...[identity, wanted]: Parameters<typeof decide>) => {
  const decision = decide(identity, wanted);
  return 'role' in decision ? decision.role.name : decision.refused.reason;
};
const as = (...roles: Parameters<typeof decide>[0]['roles']) => ({ name: 'dns:host-b', roles });

describe('who may do what', () => {
  it('nobody without a role, and a role only what it names', () => {
    assert.equal(reasonOf(as(), attempt), 'METHOD_NOT_ALLOWED');
    assert.equal(reasonOf(as(backup), attempt), 'backup');
    assert.equal(reasonOf(as(backup), { ...attempt, method: 'DeleteImage' }), 'METHOD_NOT_ALLOWED');
    assert.equal(reasonOf(as(BUILT_IN.viewer), { ...attempt, method: 'New', access: 'read' }), 'viewer');
    assert.equal(reasonOf(as(BUILT_IN.operator), { ...attempt, service: 'CommandService' }), 'METHOD_NOT_ALLOWED');
  });

  const places: [string, 'read' | 'write', string][] = [
    ['/srv/a/x', 'read', 'backup'],
    ['/srv/a', 'read', 'backup'],
    ['/srv/a/x', 'write', 'ROOT_READ_ONLY'],
    ['/srv/b/x', 'read', 'backup'],
    ['/srv/b/x', 'write', 'backup'],
    ['/srv/ab', 'read', 'PATH_OUTSIDE_ROOTS'],
    ['/srv', 'read', 'PATH_OUTSIDE_ROOTS'],
    ['rbd:pool/image', 'write', 'backup'],
    ['rbd:pool/image@snapshot', 'read', 'backup'],
    ['rbd:pool2/image', 'read', 'PATH_OUTSIDE_ROOTS'],
  ];
  for (const [address, need, outcome] of places)
    it(`${need} ${address}: ${outcome}`, () => {
      assert.equal(reasonOf(as(backup), { ...attempt, places: [{ address, need }] }), outcome);
    });

  it('the root of all places holds everything', () => {
    assert.ok(liesIn('/etc/passwd', ['/']) && liesIn('/', ['/']) && !liesIn('rbd:pool/x', ['/']));
  });

  it('labels, commands and the far end', () => {
    const labelled = (labels: Record<string, string>) => reasonOf(as(backup), { ...attempt, labels });
    assert.deepEqual(
      [labelled({ team: 'x', a: 'b' }), labelled({}), labelled({ team: 'y' })],
      ['backup', 'backup', 'METHOD_NOT_ALLOWED'],
    );
    const run = (command: string) => reasonOf(as(backup), { ...attempt, method: 'Execute', command });
    assert.deepEqual([run('lvs'), run('rm')], ['backup', 'METHOD_NOT_ALLOWED']);
    const bySsh = { ...attempt, farEnd: 'host-b', far: { ...there, host: 'host-b' } };
    assert.equal(reasonOf(as(BUILT_IN.agent), bySsh), 'METHOD_NOT_ALLOWED');
    const far = (farEnd: string) => reasonOf(as(BUILT_IN.agent), { ...attempt, farEnd });
    assert.deepEqual(['host-b', 'dns:host-b', '', 'host-c', 'cn:host-b'].map(far), [
      'agent',
      'agent',
      ...Array.from({ length: 3 }, () => 'METHOD_NOT_ALLOWED'),
    ]);
  });

  describe('on other hosts', () => {
    const remote = [
      { host: 'images.example', users: ['images'], read: ['/far/a'], write: ['/far/b'] },
      { host: '*.below.example', users: [], read: ['/'], write: [] },
    ];
    const role = roleOf('far', { methods: ['CopyImage'], remote });
    for (const [wanted, outcome] of [
      [there, 'far'],
      [{ ...there, host: 'IMAGES.example.' }, 'far'],
      [{ ...there, agent: true }, 'far'],
      [{ ...there, user: 'images' }, 'far'],
      [{ ...there, address: '/far/b/x', need: 'write' }, 'far'],
      [{ ...there, host: 'one.below.example', address: '/etc/x' }, 'far'],
      [{ ...there, user: 'root' }, 'METHOD_NOT_ALLOWED'],
      [{ ...there, host: 'one.below.example', user: 'images' }, 'METHOD_NOT_ALLOWED'],
      [{ ...there, host: 'below.example' }, 'METHOD_NOT_ALLOWED'],
      [{ ...there, host: 'other.example' }, 'METHOD_NOT_ALLOWED'],
      [{ ...there, host: '' }, 'METHOD_NOT_ALLOWED'],
      [{ ...there, address: '/far/ab' }, 'PATH_OUTSIDE_ROOTS'],
      [{ ...there, address: '' }, 'PATH_OUTSIDE_ROOTS'],
      [{ ...there, need: 'write' }, 'ROOT_READ_ONLY'],
    ] as const)
      it(`${JSON.stringify(wanted)}: ${outcome}`, () => {
        assert.equal(reasonOf(as(role), { ...attempt, far: wanted }), outcome);
      });
    it('nothing, unless a role names it; everything for a scheduler', () => {
      assert.equal(reasonOf(as(backup), { ...attempt, far: there }), 'METHOD_NOT_ALLOWED');
      for (const each of [BUILT_IN.admin, BUILT_IN.operator])
        assert.equal(reasonOf(as(each), { ...attempt, far: { ...there, user: 'root' } }), each.name);
    });
  });

  it('rights of several roles are not mixed', () => {
    const reader = roleOf('reader', { methods: ['GetImageInfo'], read: 'all' });
    const wanted = { ...attempt, places: [{ address: '/other', need: 'read' as const }] };
    assert.equal(reasonOf(as(reader, backup), wanted), 'PATH_OUTSIDE_ROOTS');
    assert.equal(reasonOf(as(backup, reader), { ...wanted, method: 'GetImageInfo' }), 'reader');
  });

  it('a certificate counts by the first of its names that is configured, with the places given there', () => {
    const authority = new Authority([{ name: 'dns:b', roles: [BUILT_IN.agent], read: ['/b'] }]);
    assert.deepEqual(authority.identify(['uri:x', 'dns:b']), {
      name: 'dns:b',
      roles: [{ ...BUILT_IN.agent, read: ['/b'] }],
    });
    assert.deepEqual(authority.identify(['uri:x', 'dns:c']), { name: 'uri:x', roles: [] });
  });

  it('an operation belongs to its caller; others see and cancel it by role, where they could look', () => {
    const operation = { caller: 'cn:a', labels: { team: 'x' }, addresses: ['/srv/a/x'] };
    const rights = (identity: string, grant: (typeof BUILT_IN)['admin']) => [
      maySee(operation, { identity, grant }),
      mayCancel(operation, { identity, grant }),
    ];
    assert.deepEqual(rights('cn:a', BUILT_IN.agent), [true, true]);
    assert.deepEqual(rights('cn:b', BUILT_IN.agent), [false, false]);
    assert.deepEqual(rights('cn:b', BUILT_IN.viewer), [true, false]);
    assert.deepEqual(rights('cn:b', BUILT_IN.operator), [true, true]);
    assert.deepEqual(rights('cn:b', { ...backup, operations: 'all' }), [true, true]);
    assert.deepEqual(rights('cn:b', { ...backup, operations: 'all', labels: { team: 'y' } }), [false, false]);
    assert.deepEqual(rights('cn:b', { ...backup, operations: 'all', read: ['/other'] }), [false, false]);
  });

  it('an operation that names no place is seen by who sees every place', () => {
    const operation = { caller: 'cn:a', labels: {}, addresses: [] };
    const rights = (grant: (typeof BUILT_IN)['admin']) => [
      maySee(operation, { identity: 'cn:b', grant }),
      mayCancel(operation, { identity: 'cn:b', grant }),
    ];
    assert.deepEqual(rights(BUILT_IN.operator), [true, true]);
    assert.deepEqual(rights(BUILT_IN.viewer), [true, false]);
    assert.deepEqual(rights(roleOf('watcher', { operations: 'all' })), [false, false]);
    assert.deepEqual(rights(roleOf('watcher', { operations: 'all', write: ['/srv'] })), [false, false]);
    assert.deepEqual(rights(roleOf('watcher', { operations: 'see', write: 'all' })), [true, false]);
  });
});

describe('what a request attempts', () => {
  const copy = { name: 'hostler.v1.ImageService/CopyImage', row: RPC_TABLE.ImageService.copyImage };
  it('addresses at the far end are none here', () => {
    const request = { source: '/a', target: '/b', remote: { host: 'h' }, remoteSide: 1, labels: { k: 'v' } };
    assert.deepEqual(accessRequestOf(copy, request), {
      ...attempt,
      places: [{ address: '/b', need: 'write' }],
      farEnd: 'h',
      far: { address: '/a', need: 'read', host: 'h', agent: false },
      labels: { k: 'v' },
    });
    assert.equal(accessRequestOf(copy, { ...request, remote: undefined }).places.length, 2);
    assert.deepEqual(accessRequestOf(copy, { ...request, remoteSide: 0 }).places, [{ address: '/a', need: 'read' }]);
  });
  it('addresses in members of oneofs are found', () => {
    const fetch = { name: 'hostler.v1.ImageService/FetchImage', row: RPC_TABLE.ImageService.fetchImage };
    const file = { source: { source: { $case: 'file', value: { path: '/a' } } }, target: '/b' };
    assert.deepEqual(
      accessRequestOf(fetch, file).places.map(({ address }) => address),
      ['/a', '/b'],
    );
    const write = { name: 'hostler.v1.FileService/WriteFile', row: RPC_TABLE.FileService.writeFile };
    const places = (content: object) => accessRequestOf(write, { content }).places;
    assert.deepEqual(places({ $case: 'header', value: { path: '/a' } }), [{ address: '/a', need: 'write' }]);
    assert.deepEqual(places({ $case: 'data', value: Buffer.from('/a') }), []);
  });
});

describe('names in certificates', () => {
  const names = (subjectaltname: string | undefined, CN: string | string[] = 'x') =>
    certificateNames({ subject: { CN }, ...(subjectaltname === undefined ? {} : { subjectaltname }) });
  it('URIs first, then DNS names; the common name only without either', () => {
    assert.deepEqual(names('DNS:A.b, URI:spiffe://x, IP Address:127.0.0.1'), { names: ['uri:spiffe://x', 'dns:a.b'] });
    assert.deepEqual(names('IP Address:127.0.0.1', 'alice'), { names: ['cn:alice'] });
    assert.deepEqual(names(undefined, ['a', 'b']), { names: ['cn:a', 'cn:b'] });
  });
  it('what is quoted is one name', () => {
    assert.deepEqual(names('URI:"a\\u002c DNS:evil", DNS:b'), { names: ['uri:a, DNS:evil', 'dns:b'] });
  });
  for (const bad of ['DNS:*.x', 'DNS:"a\\u0000b"', 'URI:"a\\u2028b"', 'DNS:', `DNS:${'a'.repeat(300)}`])
    it(`refuses ${bad.slice(0, 20)}`, () => {
      assert.ok('problem' in names(bad));
    });
  it('refuses who names nobody', () => {
    assert.ok('problem' in certificateNames({ subject: {} }));
  });
});

describe('denials in the audit log', () => {
  it('are left out when they come too often, and the next line says how many', () => {
    let now = 5000;
    const throttle = new Throttle(() => now, 1000);
    const passes = (count: number) => Array.from({ length: count }, () => throttle.pass('a'));
    assert.ok(passes(1000).every((leftOut) => leftOut === 0));
    assert.ok(passes(7).every((leftOut) => leftOut === undefined));
    assert.equal(throttle.pass('b'), 0);
    now += 1000;
    assert.deepEqual(passes(2), [7, 0]);
    now += 1000;
    assert.deepEqual(passes(1), [0]);
  });
});
