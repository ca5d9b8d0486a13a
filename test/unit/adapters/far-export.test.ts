import assert from 'node:assert/strict';
import { HostlerError } from '../../../src/domain/model/errors.js';
import { exportOf } from '../../../src/adapters/peers/far-export.js';

const usable = {
  exportId: 'a',
  operationId: '',
  key: Buffer.alloc(32, 1),
  lengthBytes: 1n,
  fingerprint: 'f',
  expireTime: undefined,
};
const peer = {
  host: 'hv2.example',
  address: '192.0.2.2:16520',
  connected: '192.0.2.2:16520',
  exportNetworks: ['198.51.100.0/24', '2001:db8::/64'],
};

describe('where a far agent says that it serves an export', () => {
  for (const [address, host, of = peer.address, connected] of [
    [':10809', '192.0.2.2'],
    ['192.0.2.2:10809', '192.0.2.2'],
    ['198.51.100.2:10809', '198.51.100.2'],
    ['[2001:db8::2]:10809', '2001:db8::2'],
    ['127.0.0.2:10809', '127.0.0.2', '127.0.0.2:16520'],
    ['[::1]:10809', '::1', '[::1]:16520'],
    ['[0:0:0:0:0:0:0:1]:10809', '0:0:0:0:0:0:0:1', 'hv2.example:16520', '[::1]:16520'],
    ['hv2.example:10809', 'hv2.example', 'hv2.example:16520'],
    [':10809', 'hv2.example', 'hv2.example:16520'],
    // The name led there when it was asked.
    ['192.0.2.2:10809', '192.0.2.2', 'hv2.example:16520'],
    ['192.0.2.9:10809', '192.0.2.9', 'hv2.example:16520', '192.0.2.9:16520'],
  ] as const)
    it(`${address} of ${of} at ${connected ?? peer.connected}`, () => {
      const { place } = exportOf(
        { ...usable, address },
        { ...peer, address: of, connected: connected ?? peer.connected },
      );
      assert.equal('host' in place ? place.host : undefined, host);
    });
  for (const address of [
    '127.0.0.1:22',
    '127.9.9.9:22',
    '0.0.0.0:22',
    '[::1]:22',
    '[::]:22',
    '[::ffff:127.0.0.1]:22',
    '[64:ff9b::127.0.0.1]:22',
    '169.254.169.254:80',
    '[fe80::1]:22',
    'localhost:22',
    'other.example:22',
    '192.0.2.3:22',
    '198.51.101.1:22',
    '[2001:db8:0:1::1]:22',
    '[64:ff9b::192.0.2.2]:22',
    '[2002:c000:202::1]:22',
    'hv2.example:22',
  ])
    it(`${address} is no such place`, () => {
      for (const connected of [peer.connected, 'dns:hv2.example:16520', ''])
        assert.throws(
          () => exportOf({ ...usable, address }, { ...peer, connected }),
          (error) => error instanceof HostlerError && error.reason === 'REMOTE_UNREACHABLE',
        );
    });
});
