/**
 * One call, whole: by whom, of what, with which bytes, in which manner. A line of text is enough to
 * make it again.
 */
import { deflateRawSync, gzipSync, inflateRawSync } from 'node:zlib';
import { foreignRpcs, requestOf } from '../support/descriptors.js';
import { RPCS } from '../support/stranger.js';
import { Dice } from './dice.js';
import { RequestMaker, SECRET, type Surroundings } from './requests.js';
import { encode, spoil } from './wire.js';

/** How a call is made; what is left out is as every client does it. */
export interface Manner {
  /** The header `grpc-timeout`; always there, for nothing should stay. */
  readonly timeout: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The caller leaves after so many milliseconds. */
  readonly resetAfterMs?: number;
  /** The caller never ends its side. */
  readonly open?: true;
  /** Bytes that go out at once; the rest comes a moment later. */
  readonly pieceBytes?: number;
  /** Reads nothing. */
  readonly unread?: true;
  /** The prefix of the last message speaks of more bytes than come, or of compression. */
  readonly prefix?: 'longer' | 'compressed' | 'gzip';
}

export interface Case {
  readonly role: string;
  readonly rpc: string;
  /** Messages, in order. */
  readonly messages: readonly Buffer[];
  readonly manner: Manner;
}

/** Those who may do more come more often: what is refused at once says little. */
const OFTEN = ['admin', 'admin', 'admin', 'operator', 'operator', 'tenant', 'tenant', 'tenant', 'viewer', 'agent'];

/** What the daemon serves: health and reflection too. */
const SERVED = [...RPCS, ...foreignRpcs()];

/** The n-th call of a seed. */
export function makeCase(seed: number, n: number, roles: Readonly<Record<string, Surroundings>>): Case {
  const dice = new Dice(seed, n);
  const { rpc, requestStream, responseStream } = dice.pick(SERVED);
  const role = dice.pick(OFTEN);
  const around = roles[role];
  if (around === undefined) throw new Error(role);
  const desc = requestOf(rpc);
  const short = rpc.split('/')[1] ?? '';
  const one = () => {
    const fields = new RequestMaker(dice, around, short).message(desc);
    return dice.chance(0.12) ? withoutSecret(spoil(fields, dice)) : encode(fields);
  };
  const messages = requestStream ? streamed(desc, dice, around, short) : [one()];
  const odd = dice.chance(0.02) ? dice.pick([[], [...messages, ...messages], [Buffer.alloc(0)]]) : messages;
  return { role, rpc, messages: odd, manner: manner(dice, responseStream && rpc.includes('Watch')) };
}

type Desc = ReturnType<typeof requestOf>;

/**
 * Mostly a header and then content, as each member of the oneof comes first in turn; sometimes in
 * any order.
 */
function streamed(desc: Desc, dice: Dice, around: Surroundings, rpc: string): Buffer[] {
  const maker = new RequestMaker(dice, around, rpc);
  const [content] = desc.oneofs;
  if (content === undefined) return [encode(maker.message(desc))];
  const member = (at: number) => {
    const field = content.fields[at];
    for (;;) {
      const fields = maker.message(desc);
      if (fields.some(({ no }) => no === field?.number))
        return dice.chance(0.05) ? withoutSecret(spoil(fields, dice)) : encode(fields);
    }
  };
  const order = dice.chance(0.75)
    ? [0, ...Array.from({ length: dice.below(6) }, () => 1 + dice.below(content.fields.length - 1))]
    : Array.from({ length: dice.below(8) }, () => dice.below(content.fields.length));
  return order.map(member);
}

const USUAL = '2S';
const TIMEOUTS = ['500m', '50m', '5m', '1m', '1n', '0S'];
/** Seven are none; without one and with a very long one the caller has to leave by itself. */
export const ODD_TIMEOUTS = ['-1S', 'S', '1', '1x', '999999999999S', '1.5S', ' ', '99999999H', ''];

function manner(dice: Dice, watches: boolean): Manner {
  const timeout = watches ? dice.pick(['300m', '50m', '1m']) : dice.chance(0.8) ? USUAL : dice.pick(TIMEOUTS);
  if (dice.chance(0.7)) return { timeout };
  return dice.pick<() => Manner>([
    () => ({ timeout, resetAfterMs: dice.pick([0, 0, 1, 5, 20, 100]) }),
    () => ({ timeout: dice.pick(ODD_TIMEOUTS), resetAfterMs: 300 }),
    () => ({ timeout, open: true, resetAfterMs: 200 }),
    () => ({ timeout, pieceBytes: dice.pick([1, 4, 5, 6, 100, 4096]) }),
    () => ({ timeout, unread: true, resetAfterMs: 200 }),
    () => ({ timeout, prefix: dice.pick(['longer', 'compressed', 'gzip']), resetAfterMs: 200 }),
    () => ({ timeout, headers: headers(dice) }),
  ])();
}

function headers(dice: Dice): Record<string, string> {
  return dice.pick<Record<string, string>>([
    { 'x-long': 'y'.repeat(dice.pick([1000, 8000, 16_000])) },
    Object.fromEntries(Array.from({ length: dice.pick([10, 60, 90]) }, (_, n) => [`x-${String(n)}`, 'y'])),
    { 'hostler-on-behalf-of': dice.pick(['', 'x'.repeat(5000), 'dns:a\tb', 'uri:spiffe://a', '%00']) },
    { 'grpc-status-details-bin': 'AAAA', 'x-bin': '!!!not base64!!!' },
    { 'grpc-encoding': dice.pick(['gzip', 'deflate', 'snappy', 'identity,gzip']) },
    { 'grpc-accept-encoding': dice.pick(['gzip', 'x', ',,,']) },
    { authorization: 'Bearer x', 'user-agent': 'z'.repeat(2000), te: 'trailers' },
  ]);
}

/** The bytes of the call's body. */
export function bodyOf({ messages, manner: { prefix } }: Case): Buffer {
  return Buffer.concat(
    messages.flatMap((message, at) => {
      const last = at === messages.length - 1;
      const content = last && prefix === 'gzip' ? gzipSync(message) : message;
      const head = Buffer.alloc(5);
      head.writeUInt8(last && (prefix === 'compressed' || prefix === 'gzip') ? 1 : 0);
      head.writeUInt32BE(content.length + (last && prefix === 'longer' ? 1000 : 0), 1);
      return [head, content];
    }),
  );
}

/** For REPLAY. */
export function toLine({ messages, ...rest }: Case): string {
  return JSON.stringify({ ...rest, messages: messages.map((each) => deflateRawSync(each).toString('base64')) });
}

export function fromLine(line: string): Case {
  const { messages, ...rest } = JSON.parse(line) as Omit<Case, 'messages'> & { messages: string[] };
  return { ...rest, messages: messages.map((each) => inflateRawSync(Buffer.from(each, 'base64'))) };
}

/** In a spoiled message the secret may stand in any field, such as a path, which the log shows. */
function withoutSecret(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  return text.includes(SECRET) ? Buffer.from(text.replaceAll(SECRET, 'x'.repeat(SECRET.length)), 'latin1') : bytes;
}
