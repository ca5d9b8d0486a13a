/** Lists of hosts, and the variables that name proxies. */
import assert from 'node:assert/strict';
import { isMeant, parseHostPattern } from '../../../src/adapters/config/host-list.js';
import { proxiesOf } from '../../../src/adapters/config/proxy-variables.js';

const meant = (text: string, url: string, names: 'alone' | 'below' = 'below') => {
  const pattern = parseHostPattern(text);
  assert.ok(pattern !== undefined, text);
  return isMeant(new URL(url), [pattern], names);
};

describe('lists of hosts', () => {
  for (const [text, hits, misses] of [
    [
      'example.org',
      ['http://example.org/', 'https://a.b.EXAMPLE.org', 'http://example.org./'],
      ['http://badexample.org', 'http://example.org.net'],
    ],
    ['Example.ORG.', ['http://example.org/', 'http://x.example.org'], ['http://example.com']],
    ['.example.org', ['http://a.example.org', 'http://example.org'], ['http://aexample.org']],
    [
      '*.example.org',
      ['http://a.example.org', 'http://a.b.example.org'],
      ['http://example.org', 'http://xexample.org'],
    ],
    ['*', ['http://any/', 'http://[::1]/', 'https://10.0.0.1:9/'], []],
    ['10.0.0.0/8', ['http://10.1.2.3/', 'https://0xa000001/'], ['http://11.0.0.1/', 'http://10.example/']],
    ['10.0.0.1', ['http://10.0.0.1:99/'], ['http://10.0.0.2/', 'http://110.0.0.1/']],
    ['2001:DB8::/32', ['http://[2001:db8::5]/'], ['http://[2001:db9::5]/', 'http://10.0.0.1/']],
    ['::1', ['http://[::1]/', 'http://[0:0::1]:80/'], ['http://[::2]/', 'http://127.0.0.1/']],
    ['[::1]:8080', ['http://[::1]:8080/'], ['http://[::1]/']],
    [
      'example.org:8080',
      ['http://example.org:8080/', 'http://a.example.org:8080'],
      ['http://example.org/', 'https://example.org'],
    ],
    ['example.org:443', ['https://example.org/', 'http://example.org:443/'], ['http://example.org/']],
    ['10.0.0.0/8:80', ['http://10.1.2.3/'], ['https://10.1.2.3/']],
    ['münchen.example', ['http://münchen.example/', 'http://xn--mnchen-3ya.example/'], ['http://munchen.example']],
    ['my_host', ['http://my_host/'], ['http://host/']],
  ] as const)
    it(text, () => {
      for (const url of hits) assert.ok(meant(text, url), url);
      for (const url of misses) assert.ok(!meant(text, url), url);
    });
  it('a name of those that are allowed is that one alone', () => {
    assert.ok(meant('example.org', 'http://EXAMPLE.org', 'alone'));
    assert.ok(!meant('example.org', 'http://a.example.org', 'alone'));
    for (const text of ['.example.org', '*.example.org']) assert.ok(meant(text, 'http://a.example.org', 'alone'));
  });
  it('what is none of these is refused', () => {
    for (const text of [
      '',
      ' ',
      'a b',
      'http://a',
      'a/8',
      '10.0.0.0/33',
      '::/129',
      '10.0.0',
      '300.1.1.1',
      '*a',
      'a*',
      '*.',
      '.',
      '-a',
      'a:b',
      'a:123456',
      '[a]b',
    ])
      assert.equal(parseHostPattern(text), undefined, text);
  });
});

describe('proxies of the environment', () => {
  it('are those that curl would ask', () => {
    const http = 'http://p:3128';
    assert.deepEqual(proxiesOf({ http_proxy: http, no_proxy: 'a, .b  c,' }), { http, direct: ['a', '.b', 'c'] });
    assert.deepEqual(proxiesOf({ HTTP_PROXY: http }), { direct: [] });
    assert.deepEqual(proxiesOf({ HTTPS_PROXY: 'p:1', NO_PROXY: '*' }), { https: 'http://p:1', direct: ['*'] });
    assert.deepEqual(proxiesOf({ ALL_PROXY: http }), { http, https: http, direct: [] });
    assert.deepEqual(proxiesOf({ all_proxy: 'https://q', http_proxy: '' }), {
      http: 'https://q',
      https: 'https://q',
      direct: [],
    });
  });
  it('that cannot be asked are a mistake, and their words are in no message', () => {
    for (const all_proxy of ['socks5://me:secret@p', 'http://', 'ftp://secret'])
      assert.throws(() => proxiesOf({ all_proxy }), /^(?!.*secret).*proxy_from_environment/s);
  });
});
