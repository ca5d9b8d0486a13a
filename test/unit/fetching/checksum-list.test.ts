/** Lists of checksums, as their tools write them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { checksumIn } from '../../../src/domain/fetch/checksum-list.js';
import { scratchFolder } from '../../support/scratch.js';

const HEX = (digits: number, letter = 'a') => letter.repeat(digits);
const [MD5, SHA1, SHA256, SHA512] = [HEX(32), HEX(40), HEX(64), HEX(128)];
const NAME = 'disk.qcow2';
const digestOf = (text: string, name = NAME, list = 'SHA256SUMS') => {
  const found = checksumIn(text, name, list);
  return found && `${found.algorithm}:${found.digest}`;
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
    ['a digest alone', `${SHA256}\n`, `sha256:${SHA256}`],
    ['other names', `${SHA256}  ${NAME}.asc\n${SHA256}  x${NAME}`, undefined],
    ['two digests alone', `${SHA256}\n${HEX(64, 'b')}\n`, undefined],
    ['a tag of another length', `SHA512 (${NAME}) = ${SHA256}`, undefined],
    ['digests of no algorithm of ours', `${HEX(56)}  ${NAME}\nSHA384 (${NAME}) = ${HEX(96)}`, undefined],
    ['a page', '<html>404</html>', undefined],
    ['nothing', '', undefined],
  ] as const)
    it(title, () => {
      assert.equal(digestOf(text), expected);
    });
  it('a list of b2sum has digests of BLAKE2', () => {
    assert.equal(digestOf(`${SHA512}  ${NAME}`, NAME, '/x/SHA512SUMS'), `sha512:${SHA512}`);
    assert.equal(digestOf(`${SHA512}  ${NAME}`, NAME, '/x/B2SUMS'), `blake2b512:${SHA512}`);
  });
  it('what the tools write is read, with every name', () => {
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
          assert.equal(digestOf(text, name), `${algorithm}:${digest}`, text);
        }
    }
  });
  it('a megabyte of nearly lists is read at once', () => {
    for (const line of [
      `${SHA256} `,
      `SHA256 (${'('.repeat(1000)}`,
      ' '.repeat(1_000_000),
      `${'('.repeat(500_000)}${')'.repeat(500_000)}`,
      `MD5 (${') ='.repeat(300_000)}`,
    ])
      assert.equal(digestOf(line.repeat(Math.max(1, 1_000_000 / line.length))), undefined);
  });
});
