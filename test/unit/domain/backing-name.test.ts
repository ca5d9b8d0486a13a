/** What the names of bases in headers mean. */
import assert from 'node:assert/strict';
import { basePath, namedBase } from '../../../src/domain/images/backing-name.js';

describe('the name of a base', () => {
  const image = { storedName: '/images/overlay' };
  const json = (value: unknown) => `json:${JSON.stringify(value)}`;
  const file = { driver: 'file', filename: '/images/b c' };

  for (const [name, path] of [
    ['base', '/images/base'],
    ['../other/base', '/other/base'],
    ['/a:b', '/a:b'],
    ['./a:b', '/images/a:b'],
    ['file:/images/base', '/images/base'],
    ['file:///images/base', '/images/base'],
    [json({ driver: 'qcow2', file }), '/images/b c'],
    [json({ file, driver: 'raw' }), '/images/b c'],
    [json({ driver: 'qcow2', 'file.driver': 'file', 'file.filename': '/images/b' }), '/images/b'],
  ] as const)
    it(`${name} is a file`, () => {
      assert.equal(basePath(name, image), path);
    });

  for (const name of [
    'nbd:localhost:10809',
    'nbd+unix:///?socket=/images/base',
    'http://host/base',
    'rbd:pool/base',
    'fat:/images',
    'C:\\images\\base.vmdk',
    ':',
    // qemu would look for these where it was started.
    'file:base',
    json({ driver: 'qcow2', file: { ...file, filename: 'base' } }),
    // More than a file.
    json({ driver: 'raw', file, size: 512 }),
    json({ driver: 'qcow2', file, backing: null }),
    json({ driver: 'raw', file: { driver: 'nbd', host: 'h' } }),
    json({ driver: 'file', filename: '/images/base' }),
    json([]),
    'json:{',
    'json:',
  ])
    it(`${name} is no path`, () => {
      assert.equal(namedBase(name), undefined);
      assert.equal(basePath(name, image), name);
    });
});
