/** Zod schemas of request fields: a parsed request is proof that it was checked. */
import * as z from 'zod';
import { parseAddress } from '../domain/model/address.js';
import { invalidFields, type FieldViolation } from '../domain/model/errors.js';
import { parseFormat, parseTargetFormat } from '../domain/model/image-format.js';
import { schemaWords } from '../domain/model/schema-words.js';
import { checkSize, parseSize } from '../domain/model/size.js';
import { CompressionType, Preallocation } from '../gen/hostler/v1/image.js';
import { isTime, msOf } from '../protocol/times.js';

type Parsed<T> = T | { readonly problem: string };

/** Room for a UUID with a prefix. */
const MAX_REQUEST_ID = 128;
const MAX_LABELS = 64;
const MAX_LABEL = 256;
const MAX_LABELS_BYTES = 8192;
/** No set-id bits: the right to create files does not include programs that run as another user. */
const MAX_MODE = 0o777;

/** A schema from one of our own parsers. */
export function parsedField<I extends z.ZodType, T>(input: I, parse: (value: z.output<I>) => Parsed<T>) {
  return input.transform((value, context): T => {
    const result = parse(value);
    if (typeof result !== 'object' || result === null || !('problem' in result)) return result;
    context.addIssue({ code: 'custom', message: result.problem });
    return z.NEVER;
  });
}

export const address = parsedField(z.string(), parseAddress);
export const format = parsedField(z.string(), parseFormat);
export const optionalFormat = format.optional();
export const targetFormat = parsedField(z.string(), parseTargetFormat);

/** "" means unset in this message; other values are checked by the schema. */
export function orUnset<T extends z.ZodType>(schema: T) {
  return z.preprocess((given) => (given === '' ? undefined : given), schema.optional());
}
export const positive = z.bigint().refine((value) => value > 0n, 'must be more than 0');
/** Bytes a second; the tools use signed 64-bit numbers. */
export const rate = positive.refine((value) => value < 2n ** 63n, 'must be at most 2^63-1');
export const text = z
  .string()
  .refine((value) => value !== '' && !value.includes('\0'), 'must not be empty or contain NUL');

/** `oneof virtual_size`; errors are about the member that was given. */
export const optionalSize = z
  .union([
    z.object({ $case: z.literal('virtualSizeBytes'), value: z.bigint() }),
    z.object({ $case: z.literal('size'), value: z.string() }),
  ])
  .optional()
  .transform((given, context): bigint | undefined => {
    if (given === undefined) return undefined;
    const result = given.$case === 'size' ? parseSize(given.value) : checkSize(given.value);
    if (typeof result === 'bigint') return result;
    context.addIssue({ code: 'custom', message: result.problem, path: [given.$case] });
    return z.NEVER;
  });
export const size = optionalSize.transform((value, context) => {
  if (value === undefined) context.addIssue({ code: 'custom', message: 'virtual_size_bytes or size is required' });
  return value ?? z.NEVER;
});

/** qcow2's range; other formats check their own. */
export const clusterSize = z
  .bigint()
  .refine(
    (value) => value >= 512n && value <= 2n << 20n && (value & (value - 1n)) === 0n,
    'must be a power of two from 512 to 2097152',
  )
  .optional();

const preallocations = {
  [Preallocation.PREALLOCATION_UNSPECIFIED]: 'off',
  [Preallocation.PREALLOCATION_OFF]: 'off',
  [Preallocation.PREALLOCATION_METADATA]: 'metadata',
  [Preallocation.PREALLOCATION_FALLOC]: 'falloc',
  [Preallocation.PREALLOCATION_FULL]: 'full',
} as const;
export const preallocation = enumeration<'off' | 'metadata' | 'falloc' | 'full'>(preallocations);

const compressions = {
  [CompressionType.COMPRESSION_TYPE_UNSPECIFIED]: undefined,
  [CompressionType.COMPRESSION_TYPE_ZLIB]: 'zlib',
  [CompressionType.COMPRESSION_TYPE_ZSTD]: 'zstd',
} as const;
export const compressionType = enumeration<'zlib' | 'zstd' | undefined>(compressions);

/** A proto enum as a word of the domain; a number that this version does not know is an error. */
export function enumeration<T>(words: Readonly<Record<number, T>>) {
  return parsedField(z.number(), (value): Parsed<T> => {
    const known = Object.entries(words).find(([number]) => Number(number) === value);
    return known === undefined ? { problem: `unknown value ${String(value)}` } : known[1];
  });
}

const attributeName = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\n\0]+$/, 'must be a name or number')
  .optional();
export const attributes = z
  .object({
    owner: attributeName,
    group: attributeName,
    mode: z.int().max(MAX_MODE, 'must be permission bits, at most 0777').optional(),
  })
  .optional()
  .transform((given) => defined(given ?? {}));

export const passphrase = z
  .object({ passphrase: z.instanceof(Uint8Array).refine((bytes) => bytes.length > 0, 'must not be empty') })
  .optional()
  .transform((secret) => secret?.passphrase);

/** A google.protobuf.Duration as milliseconds. */
export function durationMs(least: number, most: number) {
  return parsedField<z.ZodObject<{ seconds: z.ZodBigInt; nanos: z.ZodNumber }>, number>(
    z.object({ seconds: z.bigint(), nanos: z.number() }),
    ({ seconds, nanos }) => {
      const ms = Number(seconds) * 1000 + nanos / 1e6;
      if (ms >= least && ms <= most) return Math.round(ms);
      return { problem: `must be from ${String(least)} ms to ${String(most)} ms` };
    },
  );
}

/** A google.protobuf.Timestamp as milliseconds since 1970, rounded down. */
export const timeMs = parsedField<z.ZodObject<{ seconds: z.ZodBigInt; nanos: z.ZodNumber }>, number>(
  z.object({ seconds: z.bigint(), nanos: z.number() }),
  (time) => (isTime(time) ? msOf(time) : { problem: 'is no time that a Timestamp may hold' }),
);

export const requestId = z.string().max(MAX_REQUEST_ID, `longer than ${String(MAX_REQUEST_ID)} characters`);

/** Fields of every request that starts an operation. */
export const ask = z.object({
  detach: z.boolean(),
  planOnly: z.boolean(),
  requestId,
  labels: z
    .record(z.string().min(1).max(MAX_LABEL), z.string().max(MAX_LABEL))
    .refine((labels) => Object.keys(labels).length <= MAX_LABELS, `more than ${String(MAX_LABELS)} labels`)
    .refine(
      (labels) => Buffer.byteLength(JSON.stringify(labels)) <= MAX_LABELS_BYTES,
      `labels of more than ${String(MAX_LABELS_BYTES)} bytes`,
    ),
});

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The object without its undefined fields: in the domain, "not given" is an absent key. */
export function defined<T extends object>(object: T): Defined<T> {
  // eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- the type says what the filter does
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}

const PLAIN = { error: schemaWords };

/**
 * Parses a request; all wrong fields are reported at once, by their proto names. Fails with
 * INVALID_FIELD.
 */
export function parseRequest<S extends z.ZodType>(schema: S, request: unknown): z.output<S> {
  const result = schema.safeParse(request, PLAIN);
  if (result.success) return result.data;
  throw invalidFields(violationsOf(result.error));
}

/** The same for an operation's request, whose common fields are reported along with its own. */
export function parseVerb<S extends z.ZodType>(schema: S, request: unknown): z.output<S> {
  const [own, common] = [schema.safeParse(request, PLAIN), ask.safeParse(request, PLAIN)];
  if (own.success && common.success) return own.data;
  throw invalidFields([own, common].flatMap(({ error }) => (error === undefined ? [] : violationsOf(error))));
}

function violationsOf({ issues }: z.ZodError): FieldViolation[] {
  return issues.flatMap((issue) => flatten(issue, []));
}

interface Issue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly errors?: readonly (readonly Issue[])[];
}

/** Of a union's issues, those of the alternative that the caller meant: the one whose tag fits. */
function flatten(issue: Issue, above: readonly PropertyKey[]): { field: string; description: string }[] {
  const path = [...above, ...issue.path];
  const meant = issue.errors?.find((issues) => !issues.some(({ path: inner }) => inner.at(-1) === '$case'));
  if (meant !== undefined) return meant.flatMap((inner) => flatten(inner, path));
  return [{ field: protoPath(path), description: issue.message }];
}

/**
 * Steps of a path that are not fields of the message: the member of a oneof, and a oneof whose
 * members have their own names.
 */
const NO_FIELDS = ['value'];

function protoPath(path: readonly PropertyKey[]): string {
  return path
    .map(String)
    .filter((part, index, all) => !NO_FIELDS.includes(part) && !(part === 'virtualSize' && index < all.length - 1))
    .join('.')
    .replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
