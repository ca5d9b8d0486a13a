/**
 * Values that nobody means well by. Everything is drawn from the dice, so that the same seed gives
 * the same.
 */
import type { Dice } from './dice.js';

const BORDERS = [7n, 8n, 9n, 16n, 31n, 32n, 40n, 53n, 62n, 63n, 64n].flatMap((bits) => [
  2n ** bits - 512n,
  2n ** bits - 1n,
  2n ** bits,
  2n ** bits + 1n,
]);

/** For any kind of number: what does not fit is cut as a varint is. */
export function number(dice: Dice): bigint {
  return dice.chance(0.2) ? dice.pick([0n, 1n, -1n, 511n, 512n, 1000n]) : dice.pick(BORDERS);
}

/** Words that mean something to a program somewhere. */
const WORDS = [
  ...['', ' ', '0', '-1', '1e309', '0x10', '٣', 'NaN', 'null', 'true', '10G', '9999999999T', '1.5M', '-0', '1E'],
  ...['constructor', '__proto__', 'toString', 'hasOwnProperty', 'then', 'prototype', '$case', 'length'],
  ...['root', 'root:root', ':0', '4294967295', '-1:-1', '0:4294967296', 'nobody:', ':', 'a:b:c'],
  ...['sha256', 'SHA512', 'md5', 'sha3-512', 'crc32', 'f'.repeat(64), 'f'.repeat(63), 'g'.repeat(64)],
  ...[
    'raw',
    'qcow2',
    'vmdk',
    'vdi',
    'vhdx',
    'vpc',
    'qed',
    'luks',
    'iso',
    'ploop',
    'RAW',
    'qcow2,',
    'json:{}',
    'host_device',
  ],
  ...[
    'localhost',
    '127.0.0.1',
    '127.0.0.1:1',
    '::1',
    '[::1]',
    '0',
    '0x7f.1',
    '256.1.1.1',
    'fe80::1%eth0',
    'a..b',
    '-a',
    '.',
  ],
  ...[
    '-oProxyCommand=true',
    '--help',
    '-',
    '--',
    '$(true)',
    '`true`',
    ';true',
    '|true',
    '&',
    '\n',
    '*',
    '?',
    '[',
    '~',
    '!',
  ],
  ...['%s%n', '%00', '%2e%2e%2f', '\\', "'", '"', '{{7*7}}', '${7*7}', '<a>', '&lt;', ']]>', 'a,b=c', 'driver=file'],
  ...['01ARZ3NDEKTSV4RRFFQ69G5FAV', '01ARZ3NDEKTSV4RRFFQ69G5FA', '7ZZZZZZZZZZZZZZZZZZZZZZZZZ', 'ConvertImage'],
  ...[
    '\0',
    'a\0b',
    '\u0001',
    '\u007f',
    '\u0085',
    '\u2028',
    '\ufeff',
    '\uffff',
    '\u202e',
    'é\u0301',
    '🐢'.repeat(10),
    '\u{10ffff}',
  ],
  ...['x86_64', 'kvm', 'xen', 'lxc', 'echo', 'admin', '2012-13-45', 'P1D'],
];

const PLACES = [
  ...['/', '//', '/.', '/..', '/etc/passwd', '/etc/hostler-fuzz', '/proc/self/mem', '/proc/self/fd/0', '/proc/kcore'],
  ...[
    '/dev/null',
    '/dev/zero',
    '/dev/vda',
    '/sys/kernel',
    '/run',
    '/tmp',
    'relative',
    './x',
    '../x',
    '~',
    '~root/x',
    '\\\\host\\x',
  ],
  ...[
    'rbd:',
    'rbd:a',
    'rbd:a/b',
    'rbd:a/b/c@d',
    'rbd:a/b@',
    'rbd:../b',
    'nbd://127.0.0.1:1/x',
    'http://127.0.0.1:1/x',
    'file:/etc/passwd',
  ],
  ...['json:{"driver":"raw","file.filename":"/etc/passwd"}', 'fat:/etc', 'ssh://h/x', 'fd:0', '-oProxyCommand=true'],
];

const URLS = [
  ...[
    'http://127.0.0.1:1/x',
    'https://127.0.0.1:1/',
    'http://[::ffff:169.254.169.254]/',
    'http://0xa9fea9fe/',
    'http://2852039166/',
  ],
  ...[
    'http://user:pw@127.0.0.1:1/',
    'http://127.0.0.1:99999/',
    'http://',
    'http:/x',
    'HTTP://127.0.0.1:1',
    'gopher://127.0.0.1:1/',
  ],
  ...[
    'http://a.invalid/x',
    'http://xn--a/x',
    'http://[::1',
    'http://127.0.0.1:1/\r\nx: y',
    'http://127.0.0.1:1/%zz',
    'file:///etc/passwd',
    'data:,x',
  ],
];

/** Texts that grow: what each costs per character is what is looked for. */
const GROWING: readonly ((length: number) => string)[] = [
  (length) => 'x'.repeat(length),
  (length) => '/'.repeat(length),
  (length) => `${'/'.repeat(length - 1)}x`,
  (length) => '/a'.repeat(length / 2),
  (length) => '/..'.repeat(length / 3),
  (length) => `${'a'.repeat(length - 1)}!`,
  (length) => 'a.'.repeat(length / 2),
  (length) => '-'.repeat(length),
  (length) => `${'0'.repeat(length - 1)}1`,
  (length) => `1.${'0'.repeat(length)}`,
  (length) => ' '.repeat(length),
  (length) => `${'\t'.repeat(length - 1)}G`,
  (length) => 'a\u0301'.repeat(length / 3),
  (length) => '🐢'.repeat(length / 4),
  (length) => '\0'.repeat(length),
  (length) => '"'.repeat(length),
  (length) => '%25'.repeat(length / 3),
  (length) => '[a'.repeat(length / 2),
  (length) => '1:'.repeat(length / 2),
  (length) => `http://127.0.0.1:1/${'?a=&'.repeat(length / 4)}`,
];

const LENGTHS = [63, 64, 127, 128, 129, 254, 255, 256, 257, 1000, 4095, 4096, 4097, 8192, 20_000, 60_000];

/** @param root a folder that callers may reach */
export function text(dice: Dice, name: string, root: string): string {
  if (/xml/.test(name) && dice.chance(0.8)) return domain(dice);
  if (/url|endpoint/.test(name) && dice.chance(0.8)) return dice.pick(URLS);
  if (dice.chance(0.2)) return dice.pick(GROWING)(length(dice));
  if (dice.chance(0.4)) return place(dice, root);
  return dice.pick(WORDS);
}

function length(dice: Dice): number {
  return dice.chance(0.02) ? dice.pick([64 << 10, 1 << 20, (4 << 20) - 200]) : dice.pick(LENGTHS);
}

function place(dice: Dice, root: string): string {
  const inside = [
    ...[
      '..',
      '../outside/secret',
      '.',
      '',
      '/',
      'x'.repeat(255),
      'x'.repeat(256),
      'a\nb',
      'a,b',
      "a'b",
      '-x',
      'é\u0301',
      'raw/x',
    ],
    ...[
      'fifo',
      'loop',
      'out',
      'away/secret',
      'd',
      'd/e/f',
      'no/x',
      '.hostler-x',
      '.hostler-x/part',
      'huge',
      'empty',
      '\0',
      '🐢',
    ],
    ...['x/'.repeat(200), 'x/'.repeat(3000), `${'d/../'.repeat(100)}raw`],
  ];
  return dice.chance(0.6) ? `${root}/${dice.pick(inside)}` : dice.pick(PLACES);
}

function domain(dice: Dice): string {
  const count = dice.pick([1, 10, 100, 1000, 5000]);
  const times = (part: string) => part.repeat(count);
  return dice.pick([
    () => '<domain/>',
    () => `<domain><devices><disk device="disk"><source file="/x"/><target dev="vda"/></disk></devices></domain>`,
    () => times('<a>'),
    () => `<domain>${times('<a>')}${times('</a>')}</domain>`,
    () => Array.from({ length: count }, (_, n) => `<a xmlns:n${String(n)}="u">`).join(''),
    () => `<domain ${Array.from({ length: count }, (_, n) => `a${String(n)}="1"`).join(' ')}/>`,
    () =>
      `<domain><devices>${times('<disk device="disk"><source file="/x"/><target dev="vda"/></disk>')}</devices></domain>`,
    () => `<!DOCTYPE d [<!ENTITY a "${times('b')}">]><domain>${times('&a;')}</domain>`,
    () => `<!DOCTYPE d [<!ENTITY a "b"><!ENTITY c "&a;&a;"><!ENTITY e SYSTEM "/etc/passwd">]><domain>&c;&e;</domain>`,
    () => `<domain>${times('&#x41;')}</domain>`,
    () => `<domain><!--${times('-')}`,
    () => `<domain><![CDATA[${times(']]')}`,
    () => `<domain type="${times('<')}`,
    () => `<?xml version="1.0" encoding="UTF-16"?><domain>${times('\u0000')}</domain>`,
  ])();
}
