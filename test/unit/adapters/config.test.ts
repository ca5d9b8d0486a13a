import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { parseConfig, showConfig } from '../../../src/adapters/config/config.js';
import { ROOT_FOLDER } from '../../support/daemon.js';

const ROOTS = '[[roots]]\npath = "/srv/images"\n';
const load = (text: string) => parseConfig(text, 'test.toml');

describe('the configuration', () => {
  it('the example loads, and is what the defaults are', () => {
    const text = readFileSync(join(ROOT_FOLDER, 'packaging/hostler.example.toml'), 'utf8');
    assert.deepEqual(load(text), load('[[roots]]\npath = "/var/lib/hostler"\n'));
  });
  it('the example documents every key', () => {
    const text = readFileSync(join(ROOT_FOLDER, 'packaging/hostler.example.toml'), 'utf8');
    const shown = parse(showConfig(load(text)));
    for (const [section, value] of Object.entries(shown)) {
      const keys = typeof value === 'object' && !Array.isArray(value) ? Object.keys(value) : [];
      for (const key of [section, ...keys])
        assert.match(text, new RegExp(`^#? ?(\\[+(\\w+\\.)?)?${key}(\\]+| =|\\.)`, 'm'), key);
    }
    for (const key of ['owner', 'group', 'mode', 'kind', 'access', 'trusted'])
      assert.match(text, new RegExp(`^#? ?${key} =`, 'm'), key);
  });
  it('what it shows, it loads again', () => {
    const config = load(ROOTS);
    assert.deepEqual(load(showConfig(config)), config);
  });

  const bad: [string, string, RegExp][] = [
    ['an unknown key', `colour = "red"\n${ROOTS}`, /colour/],
    ['an unknown key in a table', `[server]\nport = 1\n${ROOTS}`, /server.*port/s],
    ['no roots', '', /roots/],
    ['a relative root', '[[roots]]\npath = "images"\n', /roots\.0\.path.*absolute/],
    ['clear text off the loopback', `[server]\nlisten = ["tcp://0.0.0.0:16520"]\n${ROOTS}`, /mutual TLS.*127\.0\.0\.1/],
    [
      'a name that could be off the loopback',
      `[server]\nlisten = ["tcp://localhost.example:16520"]\n${ROOTS}`,
      /mutual TLS/,
    ],
    ['metrics off the loopback', `[server]\nhttp = "0.0.0.0:16521"\n${ROOTS}`, /loopback/],
    ['a mode that is not octal', `${ROOTS}mode = "600"\n`, /octal/],
    ['no TOML', 'roots = [', /test\.toml/],
    ['zero operations', `[limits]\nrunning_operations = 0\n${ROOTS}`, /running_operations/],
  ];
  for (const [title, text, message] of bad) it(`refuses ${title}`, () => assert.throws(() => load(text), message));
});
