/** Names of files, reasons and RPCs in the docs are the ones in the code. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FINDINGS } from '../../src/domain/model/image-info.js';
import { exitCode, failureOf, ownStatus } from '../../src/cli/failure.js';
import { OWN_REASONS, isOwnReason } from '../../src/cli/own-reasons.js';
import { ROOT_FOLDER } from '../support/daemon.js';
import { services } from '../support/descriptors.js';
import { STEPS } from '../../src/domain/operations/steps.js';
import { WARNINGS } from '../../src/domain/operations/record.js';
import { METRICS } from '../../src/adapters/telemetry/metrics/metric-table.js';
import { REASONS } from '../../src/domain/model/reasons/reasons.js';

const read = (path: string) => readFileSync(join(ROOT_FOLDER, path), 'utf8');
const docs = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT_FOLDER, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const sources = ['src', 'test', 'scripts', 'bench', 'clients'].flatMap((folder) =>
  readdirSync(join(ROOT_FOLDER, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
);
const SOURCE = /\.(?:py|go|ts|java)$/;
const MOST_LINES = 200;
/** Tables that are made from the sources, and decisions, are as long as they come. */
const ANY_LENGTH = /^docs\/(?:adr|api)\/|^docs\/(?:errors|limits|config|reference\/(?:conformance|metrics))\.md$/;
/** In blocks of code, brackets are no links. */
const withoutCode = (text: string) => text.replaceAll(/^```.*?^```/gms, '');
/** The pages that this one links to. */
const linked = (doc: string) =>
  [...withoutCode(read(doc)).matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link = '']) => join(dirname(doc), link));
/** What only a client library says is in its own sources. */
const saysClient = (doc: string, word: string) => {
  const folder = /^docs\/clients\/(\w+)\.md$/.exec(doc)?.[1];
  if (folder === undefined) return false;
  return sources.some(
    (file) => file.startsWith(`clients/${folder}/`) && SOURCE.test(file) && read(file).includes(word),
  );
};

describe('the docs', () => {
  for (const doc of docs) {
    const text = read(doc);

    it(`${doc}: links lead to files`, () => {
      for (const link of linked(doc)) assert.ok(existsSync(join(ROOT_FOLDER, link)), link);
    });

    it(`${doc}: paths in code exist`, () => {
      for (const [, path = ''] of text.matchAll(/`((?:src|proto|docs|scripts|test|packaging|bench)\/[\w./-]+)`/g))
        assert.ok(path === 'bench/results.json' || existsSync(join(ROOT_FOLDER, path)), path);
    });

    it(`${doc}: source files in code exist`, () => {
      if (!doc.startsWith('docs/adr/'))
        for (const [, name = ''] of text.matchAll(/`((?:[\w-]+\/)*[\w.-]+\.(?:c?ts|sh))`/g))
          assert.ok(
            sources.some((file) => `/${file}`.endsWith(`/${name}`)),
            name,
          );
    });

    it(`${doc}: reasons are in the table`, () => {
      // Pages of the API name values of enums in the same way; their reasons come from the table.
      if (doc.startsWith('docs/api/')) return;
      for (const [, reason = ''] of text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)) {
        if (
          /^(?:NOT_SERVING|LC_ALL|O_PATH|LOCAL_SPARSE|HOSTLER_[A-Z_]+|CAP_[A-Z_]+|CERT_HAS_EXPIRED|CONTRACT_VERSION|OTEL_[A-Z_]+|DEADLINE_EXCEEDED)$/.test(
            reason,
          )
        )
          continue;
        const known: readonly string[] = [...Object.keys({ ...REASONS, ...OWN_REASONS }), ...FINDINGS, ...WARNINGS];
        assert.ok(known.includes(reason) || saysClient(doc, reason), reason);
      }
    });
  }

  it('guide/json.md lists the reasons of the command', () => {
    const listed = [...read('docs/guide/json.md').matchAll(/^\| `([A-Z_]+)` \|.*\| (\d) \|$/gm)];
    const codes = Object.keys(OWN_REASONS)
      .filter(isOwnReason)
      .map((reason) => [reason, String(exitCode(failureOf(ownStatus(reason, ''))))]);
    assert.deepEqual(
      listed.map(([, reason, code]) => [reason, code]),
      codes,
    );
  });

  it('no page is longer than one reads at a sitting', () => {
    const long = docs.filter((doc) => !ANY_LENGTH.test(doc) && read(doc).split('\n').length > MOST_LINES + 1);
    assert.deepEqual(long, []);
  });

  it('the map leads to every page, itself or by a page that it leads to', () => {
    const reached = new Set(['docs/README.md']);
    for (const doc of reached) for (const page of doc.endsWith('.md') ? linked(doc) : []) reached.add(page);
    const missing = docs.filter((doc) => doc.startsWith('docs/') && !reached.has(doc) && !reached.has(dirname(doc)));
    assert.deepEqual(missing, []);
  });

  it('the glossary has at most twenty words, in this many rows', () => {
    const words = [...read('docs/glossary.md').matchAll(/^\| (?!word |---)([^|]+) \|/gm)].flatMap(([, word = '']) =>
      word.split(', '),
    );
    assert.ok(words.length >= 10 && words.length <= 20, String(words.length));
  });

  it('metrics that pages name are exported', () => {
    for (const doc of docs.filter((name) => name !== 'docs/operate/monitoring.md'))
      for (const [name] of read(doc).matchAll(/\bhostler_[a-z_]+\b(?![./])/g))
        assert.ok(Object.hasOwn(METRICS, name), `${doc}: ${name}`);
  });

  it('security.md names a test for each promise', () => {
    const [, part = ''] = /\n## Each promise[^\n]*\n(.*?)\n## /s.exec(read('docs/security.md')) ?? [];
    const rows = part.split('\n').filter((line) => line.startsWith('| ') && !/^\| (?:---|promise )/.test(line));
    assert.ok(rows.length > 20, String(rows.length));
    // That the files are there is looked at above, as for every path.
    for (const row of rows) assert.match(row, /\| .*`test\/[\w./-]+\.ts`.* \|$/, row);
  });

  it('failpoints.md lists every step, and each step is taken somewhere', () => {
    const listed = [...read('docs/failpoints.md').matchAll(/^\| `(\w+)` \|/gm)].map(([, step]) => step);
    assert.deepEqual(listed, Object.keys(STEPS));
    const sources = readdirSync(join(ROOT_FOLDER, 'src/domain'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(`src/domain/${name}`));
    const taken = sources.flatMap((text) => [...text.matchAll(/\b(?:step|mark)\('(\w+)'\)/g)].map(([, step]) => step));
    assert.deepEqual([...new Set(taken)].sort(), Object.keys(STEPS).sort());
  });

  it('the README lists the services, and the pages of the API every RPC', () => {
    const rows = [...read('README.md').matchAll(/^\| `hostler\.v1\.(\w+)` \|/gm)].map(([, name = '']) => name);
    assert.deepEqual(
      rows.sort(),
      services()
        .map(({ name }) => name)
        .sort(),
    );
    const listed = [...read('docs/api/README.md').matchAll(/\[(\w+)\]\([\w-]+\.md#\w+\)/g)].map(([, name]) => name);
    for (const { methods } of services())
      for (const { name } of methods) assert.equal(listed.filter((each) => each === name).length, 1, name);
  });

  it('guide/calls.md says of every RPC that works on images what it is for', () => {
    const methods = services().flatMap(({ name, methods }) => (name === 'ImageService' ? methods : []));
    const guide = read('docs/guide/calls.md');
    assert.deepEqual(
      methods.filter(({ name }) => !guide.includes(`\`${name}\``)).map(({ name }) => name),
      [],
    );
  });

  it('the README shows the 27 functions of the old module, and what works is served', () => {
    const rows = [...read('README.md').matchAll(/^\| (\d+) +\| `\w+` +\| (.+?) +\| (.+?) +\|$/gm)];
    assert.deepEqual(
      rows.map(([, number]) => Number(number)),
      Array.from({ length: 27 }, (_, index) => index + 1),
    );
    const served = services().flatMap(({ methods }) => methods.map(({ name }) => name));
    for (const [, number, rpcs = '', promise] of rows)
      for (const [, rpc = ''] of rpcs.matchAll(/(?:\w+\.)?(\w+)`/g))
        assert.equal(served.includes(rpc), promise === 'works', `row ${String(number)}: ${rpc}`);
  });
});
