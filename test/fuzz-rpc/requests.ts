/**
 * Requests made from the descriptors: what most fields hold is as it should be, so that the call
 * gets far; the rest is hostile.
 */
import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { WORK } from '../support/reasons/work.js';
import type { Dice } from './dice.js';
import { number, text } from './hostile.js';
import { encode, type Wire } from './wire.js';

/** An image that is there. */
export interface Fixture {
  readonly name: string;
  readonly format: string;
}

/** What a caller knows. */
export interface Surroundings {
  /** Where it may read and write. */
  readonly home: string;
  readonly fixtures: readonly Fixture[];
}

/** Stand for ids that the daemon gives out; as long as those. */
export const IDS = { operation: '<an operation of this one>', upload: '<an upload of this caller>' } as const;
/** Is in no log: fields that are secret hold it. */
export const SECRET = 'hush-what-the-fuzzer-hides';

/** How hostile a request is: the part of its fields that are. */
const TEMPERS = [0, 0.05, 0.05, 0.1, 0.2, 0.5, 1];
const DEEPEST = 6;
const MOST_LIST_BYTES = 4 << 20;
const COUNTS = [0, 1, 2, 3, 63, 64, 65, 128, 129, 256, 257, 1000, 1001, 4096, 10_000];

export class RequestMaker {
  readonly #temper: number;
  readonly #fixture: Fixture;

  constructor(
    private readonly dice: Dice,
    private readonly around: Surroundings,
    /** The RPC's short name. */
    private readonly rpc: string,
  ) {
    this.#temper = dice.pick(TEMPERS);
    this.#fixture = dice.pick(around.fixtures);
  }

  message(desc: DescMessage, depth = 0): Wire[] {
    const { dice } = this;
    const chosen = new Map(desc.oneofs.map((oneof) => [oneof, dice.pick(oneof.fields)]));
    return desc.fields.flatMap((field) => {
      const { oneof } = field;
      // Now and then all members of a oneof: the last one counts, or should.
      if (oneof !== undefined && chosen.get(oneof) !== field && !dice.chance(this.#temper / 4)) return [];
      if (oneof === undefined && !dice.chance(likely(field.name))) return [];
      return this.#field(field, depth);
    });
  }

  #field(field: DescField, depth: number): Wire[] {
    const { dice } = this;
    const no = field.number;
    const hostile = dice.chance(this.#temper);
    if (field.fieldKind !== 'list' && field.fieldKind !== 'map') {
      const times = hostile && dice.chance(0.05) ? 2 : 1;
      return Array.from({ length: times }, () => this.#value(field, no, depth, hostile));
    }
    const wanted = hostile ? dice.pick(COUNTS) : dice.below(3);
    // What many elements are alike is enough: making them takes longer than refusing them.
    const some = Array.from({ length: Math.min(wanted, 3) }, () => this.#element(field, no, depth, hostile));
    // And no more of them than any message holds.
    const count = Math.min(wanted, Math.ceil((MOST_LIST_BYTES * some.length) / (encode(some).length + 1)));
    return Array.from({ length: count }, (_, n) => some[n % some.length]).filter((each) => each !== undefined);
  }

  #element(field: DescField & { fieldKind: 'list' | 'map' }, no: number, depth: number, hostile: boolean): Wire {
    if (field.fieldKind === 'list') return this.#value(field, no, depth, hostile);
    const key: Wire = { no: 1, type: 2, value: this.#text(`${field.name}-key`, hostile && this.dice.chance(0.5)) };
    const value = this.#value(field, 2, depth, hostile);
    return { no, type: 2, value: this.dice.chance(hostile ? 0.1 : 0) ? [value] : [key, value] };
  }

  #value(field: DescField, no: number, depth: number, hostile: boolean): Wire {
    const { dice } = this;
    if (field.message !== undefined)
      return { no, type: 2, value: depth > DEEPEST ? [] : this.message(field.message, depth + 1) };
    if (field.enum !== undefined) {
      const known = dice.pick(field.enum.values).number;
      return { no, type: 0, value: hostile ? dice.pick([99n, -1n, 2n ** 31n, 2n ** 40n]) : BigInt(known) };
    }
    return this.#scalar(field, no, hostile);
  }

  #scalar(field: DescField, no: number, hostile: boolean): Wire {
    const { dice } = this;
    if (field.scalar === ScalarType.STRING)
      return { no, type: 2, value: isSecret(field) ? Buffer.from(SECRET) : this.#text(field.name, hostile) };
    if (field.scalar === ScalarType.BYTES) return { no, type: 2, value: this.#bytes(field, hostile) };
    if (field.scalar !== ScalarType.BOOL)
      return { no, type: 0, value: hostile ? number(dice) : dice.pick(SIZES[field.name] ?? SMALL) };
    const isTrue = dice.chance(RARE.includes(field.name) ? 0.1 : 0.5);
    return { no, type: 0, value: hostile ? 2n ** 40n : isTrue ? 1n : 0n };
  }

  #bytes(field: DescField, hostile: boolean): Buffer {
    const { dice } = this;
    if (isSecret(field) && !hostile) return Buffer.from(SECRET);
    return dice.bytes(hostile ? dice.pick([0, 1, 511, 512, 513, 4096]) : 64);
  }

  #text(name: string, hostile: boolean): Buffer {
    return Buffer.from(hostile ? text(this.dice, name, this.around.home) : this.#plain(name));
  }

  /** What a field of this name should hold. */
  #plain(name: string): string {
    const { dice } = this;
    const { home, fixtures } = this.around;
    const isMade = name === 'target' || (WORK[this.rpc]?.makes ?? '').split('.').at(-1) === name;
    if (isMade) return `${home}/${dice.chance(0.8) ? `new-${String(dice.below(30))}` : this.#fixture.name}`;
    if (IMAGES.includes(name)) return `${home}/${this.#fixture.name}`;
    if (name === 'second' || name === 'backing_file') return `${home}/${dice.pick(fixtures).name}`;
    if (name === 'target_format') return dice.pick(['raw', 'qcow2', 'qcow2', 'vmdk', 'vdi']);
    if (name.endsWith('format')) return dice.chance(0.85) ? this.#fixture.format : dice.pick(['raw', 'qcow2', 'vmdk']);
    if (name === 'second_format') return dice.pick(fixtures).format;
    const words = PLAIN[name];
    return words === undefined ? `word-${String(dice.below(5))}` : dice.pick(words);
  }
}

const IMAGES = ['path', 'source', 'first', 'mount_path', 'base'];
/** What goes on without its caller is not to fill the daemon. */
const RARE = ['detach', 'plan_only', 'append', 'missing_ok'];
const SMALL = [0n, 1n, 2n, 3n, 10n, 100n];
const SIZES: Readonly<Record<string, readonly bigint[]>> = {
  virtual_size_bytes: [65_536n, 1n << 20n, 3n << 20n, 1n << 30n],
  cluster_size_bytes: [65_536n, 4096n, 2n << 20n],
  max_size_bytes: [1n << 30n],
  bandwidth_bytes_per_second: [1n << 20n, 64n << 20n],
  length_bytes: [512n, 65_536n, 1n << 20n],
  data_bytes: [0n, 512n],
  zero_bytes: [512n, 65_536n],
  mode: [0o600n, 0o644n],
  umask: [0o22n, 0n],
  offset: [0n, 512n],
  length: [512n, 65_536n],
  count: [1n, 1000n],
  seconds: [0n, 1n, 2n],
};
const PLAIN: Readonly<Record<string, readonly string[]>> = {
  size: ['1M', '64K', '3M', '1G'],
  snapshot: ['one', 'two'],
  owner: ['0', '0:0', '12345:12345'],
  group: ['0', '12345'],
  algorithm: ['sha256'],
  digest: ['0'.repeat(64)],
  host: ['127.0.0.1', 'hv2.example'],
  user: ['root'],
  url: ['http://127.0.0.1:1/x'],
  endpoint: ['http://127.0.0.1:1'],
  image_id: ['00000000-0000-4000-8000-000000000000'],
  peer: ['hv2.example'],
  pool: ['rbd'],
  name: ['echo', 'instance'],
  args: ['one', 'two'],
  uuid: ['00000000-0000-4000-8000-000000000000'],
  operation_id: [IDS.operation],
  upload_id: [IDS.upload],
  domain_xml: ['<domain><devices><disk device="disk"><source file="/x"/></disk></devices></domain>'],
  hostname: ['host.example', '10.0.0.1', '::1'],
  virt_type: ['kvm', 'xen'],
  image_architecture: ['x86_64', 'aarch64'],
  request_id: ['same', 'same-too', ''],
};

/** Without these most calls end where they begin. */
function likely(name: string): number {
  if (
    /^(format|.*_format|path|source|target|first|second|owner|snapshot|mode|backing_file|.*_id|name|header|instance)$/.test(
      name,
    )
  )
    return name === 'request_id' ? 0.1 : 0.97;
  if (
    /^(max_size_bytes|length_bytes|overwrite|remote|hostname|virt_type|algorithm|digest|host|url|passphrase)$/.test(
      name,
    )
  )
    return 0.8;
  return 0.2;
}

const isSecret = ({ proto }: DescField) => proto.options?.debugRedact === true;
