import assert from 'node:assert/strict';
import { AddressPolicy } from '../../../src/adapters/http/address-policy.js';
import { embeddedAddresses } from '../../../src/protocol/embedded-addresses.js';

const METADATA = 'a9fe:a9fe';
const [schemes, loopback] = [['http'], true];
const allows = (policy: AddressPolicy, address: string) => {
  try {
    policy.assertAddress(address, 'host');
    return true;
  } catch {
    return false;
  }
};

describe('addresses that may be fetched from', () => {
  for (const [address, ...inner] of [
    ['::ffff:169.254.169.254', '169.254.169.254'],
    ['0:0:0:0:0:FFFF:a9fe:a9fe', '169.254.169.254'],
    ['::10.1.2.3', '10.1.2.3'],
    ['::ffff:0:10.1.2.3', '10.1.2.3'],
    ['64:ff9b::10.1.2.3', '10.1.2.3'],
    ['2002:a01:203::1', '10.1.2.3'],
    ['2001:0:a01:203:0:0:f5fe:fdfc', '10.1.2.3', '10.1.2.3'],
    ['fe80::1%eth0'],
    ['2001:db8::10.1.2.3'],
    ['10.1.2.3'],
    ['::1'],
    ['::'],
  ] as const)
    it(`${address} leads to ${inner.join(' and ') || 'itself alone'}`, () => {
      assert.deepEqual(embeddedAddresses(address), inner);
    });
  it('a local NAT64 prefix may have each length', () => {
    // As RFC 6052, 2.2 places 192.0.2.33 for 48, 56, 64 and 96 bits.
    for (const address of ['c000:2:2100::', 'c0:0:221::', '0:c0:2:2100::', '0:0:0:c000:221'])
      assert.ok(embeddedAddresses(`64:ff9b:1:${address}`.replace(/:::$/, '::')).includes('192.0.2.33'), address);
  });

  const usual = new AddressPolicy({ schemes, loopback });
  for (const address of [
    '169.254.169.254',
    `::ffff:${METADATA}`,
    `::ffff:0:${METADATA}`,
    `64:ff9b::${METADATA}`,
    `64:ff9b:1::${METADATA}`,
    `64:ff9b:1:a9fe:a9:fe00::`,
    `2002:${METADATA}::1`,
    `2001:0:${METADATA}::`,
    '::ffff:100.100.100.200',
    'fe80::1',
  ])
    it(`${address} is forbidden unless it is allowed`, () => {
      assert.equal(allows(usual, address), false);
      assert.equal(allows(new AddressPolicy({ schemes, loopback, networks: ['2001:db8::/32'] }), address), false);
    });
  for (const address of ['192.0.2.1', '2001:db8::1', '64:ff9b::192.0.2.1', '2002:c000:201::1'])
    it(`${address} is allowed, and by 192.0.2.0/24 where it leads there`, () => {
      assert.equal(allows(usual, address), true);
      const some = new AddressPolicy({ schemes, loopback, networks: ['192.0.2.0/24'] });
      assert.equal(allows(some, address), address !== '2001:db8::1');
    });

  const networks = ['0.0.0.0/0', '::/0'];
  const without = new AddressPolicy({ schemes, loopback: false });
  const listed = new AddressPolicy({ schemes, loopback: false, networks });
  for (const address of [
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '::1',
    '0:0:0:0:0:0:0:1',
    '::',
    '::ffff:127.0.0.1',
    '::ffff:7f00:2',
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b:1::7f00:1',
    '2002:7f00:1::1',
  ])
    it(`${address} is allowed by fetch.loopback alone`, () => {
      assert.deepEqual(
        [usual, without, listed].map((policy) => allows(policy, address)),
        [true, false, false],
      );
    });
  for (const address of ['126.255.255.255', '128.0.0.1', '1.0.0.0', '::2', '64:ff9b::128.0.0.1'])
    it(`${address} is none of the loopback`, () => {
      assert.deepEqual(
        [usual, without, listed].map((policy) => allows(policy, address)),
        [true, true, true],
      );
    });
});
