/** Lists of checksums, as their tools write them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { checksumIn, type ListPlace } from '../../../src/domain/fetch/checksum-list.js';
import { scratchFolder } from '../../support/scratch.js';

const HEX = (digits: number, letter = 'a') => letter.repeat(digits);
const [MD5, SHA1, SHA256, SHA512] = [HEX(32), HEX(40), HEX(64), HEX(128)];
const NAME = 'disk.qcow2';
const placeOf = (path: string, listName = 'SHA256SUMS', folder: string | null = '') => {
  const components = path.split('/').filter((part) => part !== '');
  const below = folder === null ? {} : { below: components.slice(folder.split('/').filter(Boolean).length) };
  return { path: components, ...below, listName };
};
const found = async (text: string, place: ListPlace) => {
  const listed = await checksumIn(text, place);
  return 'lacks' in listed ? listed.lacks : `${listed.checksum.algorithm}:${listed.checksum.digest}`;
};
const digestOf = async (text: string, name = NAME, list = 'SHA256SUMS') => {
  const listed = await checksumIn(text, { path: [name], below: [name], listName: list });
  return 'lacks' in listed ? undefined : `${listed.checksum.algorithm}:${listed.checksum.digest}`;
};

describe('lists of checksums', () => {
  const scratch = scratchFolder();

  for (const [title, text, expected] of [
    ['coreutils, text', `${SHA256}  ${NAME}\n`, `sha256:${SHA256}`],
    [
      'coreutils, binary, among others',
      `${HEX(64, 'b')} *other\n${SHA256.toUpperCase()} *${NAME}\r\n`,
      `sha256:${SHA256}`,
    ],
    ['a name below a folder', `${SHA256}  ./images/${NAME}`, `sha256:${SHA256}`],
    ['sha1', `${SHA1}  ${NAME}`, `sha1:${SHA1}`],
    ['md5', `${MD5}  ${NAME}`, `md5:${MD5}`],
    ['the best of several', `${MD5}  ${NAME}\n${SHA512}  ${NAME}\n${SHA256}  ${NAME}`, `sha512:${SHA512}`],
    ['BSD', `SHA256 (${NAME}) = ${SHA256}`, `sha256:${SHA256}`],
    ['BSD, of OpenSSL', `SHA2-256(x)= ${SHA256}\nSHA512(${NAME})= ${SHA512}`, `sha512:${SHA512}`],
    ['BSD, BLAKE2', `BLAKE2b (${NAME}) = ${SHA512}`, `blake2b512:${SHA512}`],
    [
      'signed, with remarks',
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# ${NAME}: 5 bytes\nSHA256 (${NAME}) = ${SHA256}\n-----BEGIN PGP SIGNATURE-----\n\niQEz\n`,
      `sha256:${SHA256}`,
    ],
    ['one space, as of md5 -r', `${SHA256} ${NAME}`, `sha256:${SHA256}`],
    ['a byte order mark', `\ufeff${SHA256}  ${NAME}\r\n`, `sha256:${SHA256}`],
    ['BSD, SHA-2 as OpenSSL 3 names it', `SHA2-256(${NAME})= ${SHA256}`, `sha256:${SHA256}`],
    ['BSD, BLAKE2 as OpenSSL names it', `BLAKE2B-512(${NAME})= ${SHA512}`, `blake2b512:${SHA512}`],
    [
      'headings of Gentoo',
      `# BLAKE2B HASH\n${HEX(128, 'b')}  ${NAME}\n# SHA512 HASH\n${SHA512}  ${NAME}\n# BLAKE2B HASH\n${HEX(128, 'c')}  x\n`,
      `sha512:${SHA512}`,
    ],
    ['a heading of BLAKE2 alone', `# BLAKE2B HASH\n${SHA512}  ${NAME}\n`, `blake2b512:${SHA512}`],
    ['a heading of an algorithm of others', `# WHIRLPOOL HASH\n${SHA512}  ${NAME}\n`, undefined],
    ['the same line twice', `${SHA256}  ${NAME}\n${SHA256} *${NAME}`, `sha256:${SHA256}`],
    ['a digest alone', `${SHA256}\n`, `sha256:${SHA256}`],
    ['other names', `${SHA256}  ${NAME}.asc\n${SHA256}  x${NAME}`, undefined],
    ['two digests alone', `${SHA256}\n${HEX(64, 'b')}\n`, undefined],
    ['a tag of another length', `SHA512 (${NAME}) = ${SHA256}`, undefined],
    ['digests of no algorithm of ours', `${HEX(48)}  ${NAME}\nWhirlpool (${NAME}) = ${SHA512}`, undefined],
    ['SHA-384 and SHA-224', `${HEX(56)}  ${NAME}\nSHA384 (${NAME}) = ${HEX(96)}`, `sha384:${HEX(96)}`],
    ['BSD, SHA-3', `SHA3-256(${NAME})= ${SHA256}`, `sha3-256:${SHA256}`],
    ['BSD, BLAKE2s', `BLAKE2S-256(${NAME})= ${SHA256}`, `blake2s256:${SHA256}`],
    ['a page', '<html>404</html>', undefined],
    ['nothing', '', undefined],
  ] as const)
    it(title, async () => {
      assert.equal(await digestOf(text), expected);
    });
  it('a list of b2sum has digests of BLAKE2', async () => {
    assert.equal(await digestOf(`${SHA512}  ${NAME}`, NAME, '/x/SHA512SUMS'), `sha512:${SHA512}`);
    assert.equal(await digestOf(`${SHA512}  ${NAME}`, NAME, '/x/B2SUMS'), `blake2b512:${SHA512}`);
  });
  it('a list of an algorithm that is not ours has none of ours, whatever its length', async () => {
    for (const [list, digest] of [
      ['B3SUMS', SHA256],
      ['SM3SUMS', SHA256],
      ['disk.qcow2.whirlpool', SHA512],
      ['sha512-256.txt', SHA256],
    ] as const)
      assert.match(await found(`${digest}  ${NAME}`, placeOf(NAME, list)), /cannot be computed here/);
    assert.equal(await digestOf(`${SHA512}  ${NAME}`, NAME, 'SHA3-512SUMS'), `sha3-512:${SHA512}`);
    assert.equal(await digestOf(`${SHA256}  ${NAME}`, NAME, 'whirlpool-linux.qcow2.sha256'), `sha256:${SHA256}`);
  });
  describe('with one name in several folders', () => {
    const lines = (...names: string[]) => names.map((name, at) => `${HEX(64, 'abcd'[at])}  ${name}`).join('\n');
    for (const [title, place, names, letter] of [
      ['the path from the list on', placeOf('d/netboot/gtk/x', '', 'd'), ['./cdrom/x', './netboot/gtk/x', './x'], 'b'],
      ['the folder of the list', placeOf('d/x', '', 'd'), ['./gtk/x', './x'], 'b'],
      ['the longest end', placeOf('d/netboot/gtk/x', '', null), ['x', 'gtk/x', 'netboot/gtk/x'], 'c'],
      ['a path from the root of the server', placeOf('d/netboot/x', '', 'd'), ['/d/cdrom/x', '/d/netboot/x'], 'b'],
      ['folders of the list maker alone', placeOf('d/x', '', 'd'), ['build/out/x'], 'a'],
      ['a list without folders', placeOf('d/images/x', '', 'd'), ['y', 'x'], 'b'],
    ] as const)
      it(`${title} counts`, async () => {
        assert.equal(await found(lines(...names), place), `sha256:${HEX(64, letter)}`);
      });
    it('none is taken of another folder', async () => {
      assert.equal(await found(lines('./cdrom/x'), placeOf('d/netboot/x', '', 'd')), 'has no checksum of netboot/x');
      assert.equal(
        await found(lines('./x', './cdrom/x'), placeOf('d/netboot/x', '', 'd')),
        'has no checksum of netboot/x',
      );
    });
    it('two that are as near are refused', async () => {
      for (const folder of ['d', null])
        assert.match(await found(lines('a/x', 'b/x'), placeOf('d/x', '', folder)), /several files of the name x/);
    });
  });
  it('why there is none is in the answer', async () => {
    const place = placeOf(NAME);
    assert.equal(await found(`${MD5}\n${SHA256}\n`, place), 'has several digests without names');
    assert.match(await found(`Whirlpool (${NAME}) = ${SHA512}`, place), /cannot be computed here: Whirlpool/);
    assert.match(await found(`SHA512/256 (${NAME}) = ${SHA256}`, place), /cannot be computed here: SHA512\/256/);
    assert.match(await found(`BLAKE2b-256 (${NAME}) = ${SHA256}`, place), /cannot be computed here: BLAKE2b-256/);
    assert.match(await found(`${HEX(48)}  ${NAME}`, place), /one of 48 digits/);
    assert.equal(
      await found(Buffer.from(`\ufeff${SHA256}  ${NAME}`, 'utf16le').toString(), place),
      'is no text in UTF-8',
    );
    assert.match(await found(`${SHA256}  ${NAME}\n${HEX(64, 'b')}  ${NAME}`, place), /several checksums by sha256/);
    assert.equal(await found('', place), `has no checksum of ${NAME}`);
  });
  it('what the tools write is read, with every name', async () => {
    for (const name of ['plain', 'a b', "it's (1) = x", 'back\\slash', 'new\nline', 'größe', ' *x']) {
      writeFileSync(scratch.path(name), name);
      for (const [tool, algorithm] of [
        ['sha256sum', 'sha256'],
        ['md5sum', 'md5'],
        ['sha1sum', 'sha1'],
        ['sha512sum', 'sha512'],
      ] as const)
        for (const tag of [[], ['--tag'], ['--binary']]) {
          const text = execFileSync(tool, [...tag, '--', name], { cwd: scratch.path(), encoding: 'utf8' });
          const digest = /[0-9a-f]{32,}/.exec(text)?.[0] ?? '';
          assert.equal(await digestOf(text, name), `${algorithm}:${digest}`, text);
        }
    }
  });
  it('one of any length leaves turns to others', async () => {
    const megabyte = (line: string) => line.repeat(Math.floor((1 << 20) / line.length));
    for (const [title, text] of Object.entries({
      'empty lines': megabyte('\n'),
      'digests alone': megabyte(`${MD5}\n`),
      'one name again and again': megabyte(`${MD5}  ${NAME}\n`),
      'one name in many folders': Array.from({ length: 20_000 }, (_, at) => `${MD5}  ${String(at)}/${NAME}`).join('\n'),
      BSD: megabyte(`MD5 (x) = ${MD5}\n`),
    })) {
      let [turns, over] = [0, false];
      const turn = () => {
        turns += 1;
        if (!over) setImmediate(turn);
      };
      setImmediate(turn);
      await digestOf(text);
      over = true;
      assert.ok(turns >= text.length / 20_000, `${title}: ${String(turns)} turns`);
    }
  });
  it('a line that is longer than any path is passed over, with whatever it names', async () => {
    const long = 'x/'.repeat(3000);
    for (const line of [
      `${SHA256}  ${long}${NAME}`,
      `SHA256 (${long}${NAME}) = ${SHA256}`,
      `\\${SHA256}  ${'\\n'.repeat(500_000)}`,
    ])
      assert.equal(await digestOf(`${line}\n`), undefined);
    assert.equal(await digestOf(`${'y'.repeat(100_000)}\n${SHA256}  ${NAME}`), `sha256:${SHA256}`);
    const path = `${'d'.repeat(200)}/`.repeat(20);
    assert.equal(await digestOf(`${SHA256}  ${path}${NAME}`), `sha256:${SHA256}`);
  });
  it('a megabyte of nearly lists is read at once', async () => {
    for (const line of [
      `${SHA256} `,
      `SHA256 (${'('.repeat(1000)}`,
      ' '.repeat(1_000_000),
      `${'('.repeat(500_000)}${')'.repeat(500_000)}`,
      `MD5 (${') ='.repeat(300_000)}`,
    ])
      assert.equal(await digestOf(line.repeat(Math.max(1, 1_000_000 / line.length))), undefined);
  });
});
