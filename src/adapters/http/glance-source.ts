import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import { HostlerError } from '../../domain/model/errors.js';
import type { RemoteFile, SourceFacts } from '../../domain/ports/sources.js';
import { parseFormat, type ImageFormat } from '../../domain/model/image-format.js';
import { unavailable, type HttpAnswer, type HttpClient } from './http-client.js';
import { HttpFile, assertGood } from './http-source.js';
import { CHECKSUM_ALGORITHMS } from '../../domain/model/checksum.js';

const MAX_METADATA_BYTES = 256 * 1024;
/** Longest word that is shown; all of Glance's own are shorter. */
const MAX_WORD = 256;
const GIB = 1024n ** 3n;
/** Glance's names of formats that qemu names differently. */
const FORMATS: ReadonlyMap<string, ImageFormat> = new Map([
  ['vhd', 'vpc'],
  ['iso', 'raw'],
  ['ploop', 'parallels'],
  ['aki', 'raw'],
  ['ari', 'raw'],
  ['ami', 'raw'],
]);

/** Containers that add nothing around the data, or only a compression. */
const PLAIN_CONTAINERS = ['bare', 'compressed', 'aki', 'ari', 'ami'];

const size = z.number().int().nonnegative().nullish();
/** JSON can contain a lone surrogate, which no gRPC message can hold. */
const word = z
  .string()
  .max(MAX_WORD)
  .transform((text) => text.toWellFormed());
const metadata = z.object({
  status: word,
  size,
  virtual_size: size,
  min_disk: size,
  disk_format: word.nullish(),
  container_format: word.nullish(),
  checksum: word.nullish(),
  os_hash_algo: word.nullish(),
  os_hash_value: word.nullish(),
});
type Metadata = z.infer<typeof metadata>;

/** An image of a Glance server: first its metadata, then its data. */
export class GlanceFile implements RemoteFile {
  constructor(
    private readonly client: HttpClient,
    private readonly image: URL,
    private readonly headers: Readonly<Record<string, string>>,
    /** File with the token, used if the caller gave none. */
    private readonly tokenFile: string | undefined,
  ) {}

  async describe(signal: AbortSignal): Promise<SourceFacts> {
    const answer = await this.client.get(this.image, await this.#headers(), {}, signal);
    assertGood(answer, this.image);
    const found = metadata.safeParse(await jsonOf(answer, this.image));
    if (!found.success) throw unavailable(this.image, 'this is no image of Glance');
    if (found.data.status !== 'active')
      throw new HostlerError('SOURCE_UNAVAILABLE', `the image is ${found.data.status}`, {
        facts: { status: found.data.status },
      });
    return factsOf(found.data);
  }

  async read(...args: Parameters<RemoteFile['read']>) {
    return (await this.#data()).read(...args);
  }

  /**
   * Glance never changes the data of an image. The request still checks that the caller may read
   * it.
   */
  async isStill(_: string, signal: AbortSignal): Promise<boolean> {
    await this.describe(signal);
    return true;
  }

  async #data(): Promise<HttpFile> {
    const file = new URL(this.image);
    file.pathname += '/file';
    return new HttpFile(this.client, file, await this.#headers());
  }

  async #headers(): Promise<Readonly<Record<string, string>>> {
    if (this.tokenFile === undefined) return this.headers;
    try {
      return { 'x-auth-token': (await readFile(this.tokenFile, 'utf8')).trim() };
    } catch (cause) {
      throw new HostlerError('SOURCE_REFUSED', 'the file with the token for Glance cannot be read', { cause });
    }
  }
}

async function jsonOf({ body }: HttpAnswer, url: URL): Promise<unknown> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_METADATA_BYTES) throw unavailable(url, 'its metadata is longer than any that Glance has');
    pieces.push(piece);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw unavailable(url, 'its metadata is no JSON');
  }
}

function factsOf(found: Metadata): SourceFacts {
  const { size: length, virtual_size: virtual, min_disk: minDisk, disk_format: named } = found;
  const format = named === null || named === undefined ? undefined : (FORMATS.get(named) ?? parseFormat(named));
  const checksum = checksumOf(found);
  return {
    immutable: true,
    ...(checksum === undefined ? unknownAlgorithm(found) : { checksum }),
    ...(PLAIN_CONTAINERS.includes(found.container_format ?? 'bare') ? {} : { packed: true }),
    ...(typeof format === 'string' ? { format } : {}),
    ...(length === null || length === undefined ? {} : { lengthBytes: BigInt(length) }),
    ...(virtual === null || virtual === undefined ? {} : { virtualSizeBytes: BigInt(virtual) }),
    ...(minDisk === null || minDisk === undefined ? {} : { minDiskBytes: BigInt(minDisk) * GIB }),
  };
}

/**
 * The digest by the algorithm that the operator chose, in the names of hashlib; otherwise the older
 * md5 field.
 */
function checksumOf({
  os_hash_algo: algorithm,
  os_hash_value: digest,
  checksum: md5,
}: Metadata): SourceFacts['checksum'] {
  const known = algorithm
    ?.replace('_', '-')
    .replace(/^blake2b$/, 'blake2b512')
    .replace(/^blake2s$/, 'blake2s256');
  const ours = CHECKSUM_ALGORITHMS.find((name) => name === known);
  if (ours !== undefined && typeof digest === 'string') return { algorithm: ours, digest: digest.toLowerCase() };
  return typeof md5 === 'string' ? { algorithm: 'md5', digest: md5.toLowerCase() } : undefined;
}

function unknownAlgorithm({ os_hash_algo: algorithm, os_hash_value: digest }: Metadata): SourceFacts {
  return typeof algorithm === 'string' && typeof digest === 'string' ? { unknownAlgorithm: algorithm } : {};
}
