/** What a case works with: the agent, a folder of its own, and what most cases do. */
import type { ImageInfo } from '../../src/gen/hostler/v1/image.js';
import type { UploadImageResponse } from '../../src/gen/hostler/v1/image_service.js';
import type { Agent } from '../agent/agent.js';
import * as file from '../agent/file-rpcs.js';
import * as image from '../agent/image-rpcs.js';
import { KIB, sha256 } from '../content/noise.js';
import { restart } from './restart.js';
import type { World } from './world.js';

/** The size of messages that the contract recommends. */
const MESSAGE_BYTES = 256 * KIB;

/** What a download brought. */
export interface Downloaded {
  readonly bytes: Buffer;
  /** The digest in its last message. */
  readonly digest: string;
  /** Runs of zeros that were not sent as bytes. */
  readonly zeroRuns: number;
}

export class Bench {
  constructor(
    readonly world: World,
    /** The folder of the case; it is there, and empty. */
    readonly folder: string,
  ) {}

  get agent(): Agent {
    return this.world.agent;
  }

  /** The caller with fewer roles. Only for cases that need it. */
  get second(): Agent {
    if (this.world.second === undefined) throw new Error('there is no second caller');
    return this.world.second;
  }

  /** An address in the folder of the case. */
  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** Makes an empty image; its address. */
  async create(name: string, format: string, sizeBytes: number): Promise<string> {
    const path = this.path(name);
    await this.agent.operate(image.createImage, {
      path,
      format,
      virtualSize: { $case: 'size', value: String(sizeBytes) },
    });
    return path;
  }

  /** Makes a qcow2 overlay; its address. */
  async overlay(name: string, backingFile: string, backingFormat: string): Promise<string> {
    const path = this.path(name);
    await this.agent.operate(image.createOverlay, { path, backingFile, backingFormat, allowChain: true });
    return path;
  }

  /** Writes a file; its address. */
  async write(name: string, bytes: Buffer): Promise<string> {
    const path = this.path(name);
    await this.agent.send(file.writeFile, written({ path }, bytes));
    return path;
  }

  /** Writes a file with holes: pieces at offsets. */
  async writeSparse(name: string, length: number, pieces: readonly (readonly [at: number, bytes: Buffer])[]) {
    const path = await this.write(name, Buffer.alloc(0));
    const last: readonly [number, Buffer] = [length - 1, Buffer.alloc(1)];
    for (const [offset, bytes] of [...pieces, last])
      await this.agent.send(file.writeFile, written({ path, offset: BigInt(offset) }, bytes));
    return path;
  }

  /** The bytes of a file. */
  async content(path: string, range: { offset?: number; length?: number } = {}): Promise<Buffer> {
    const pieces = await this.agent.read(file.readFile, { path, ...range });
    return Buffer.concat(pieces.map(({ data }) => data));
  }

  async exists(path: string): Promise<boolean> {
    return (await this.agent.ask(file.statFile, { path })).exists;
  }

  /** The names in a folder. */
  async names(path = this.folder): Promise<string[]> {
    const { entries } = await this.agent.ask(file.listDirectory, { path });
    return entries.map(({ name }) => name);
  }

  async info(path: string, format?: string): Promise<ImageInfo> {
    const { info } = await this.agent.ask(image.getImageInfo, { path, ...(format === undefined ? {} : { format }) });
    if (info === undefined) throw new Error('GetImageInfo answered without an image');
    return info;
  }

  /** What a guest would read: the content as raw bytes. */
  async guestContent(path: string, format: string): Promise<Buffer> {
    const target = `${path}.guest`;
    await this.agent.operate(image.convertImage, {
      source: path,
      sourceFormat: format,
      target,
      targetFormat: 'raw',
      overwrite: true,
    });
    return this.content(target);
  }

  /** Makes an image of that content. */
  async imageOf(name: string, format: string, bytes: Buffer): Promise<string> {
    const source = await this.write(`${name}.source`, bytes);
    const target = this.path(name);
    await this.agent.operate(image.convertImage, { source, sourceFormat: 'raw', target, targetFormat: format });
    await this.agent.ask(file.deleteFile, { path: source });
    return target;
  }

  /** Uploads the bytes in one stream; ends it after so many of them, if that is given. */
  async upload(
    target: string,
    format: string,
    bytes: Buffer,
    { digest = sha256(bytes), until = bytes.length }: { digest?: string; until?: number } = {},
  ): Promise<UploadImageResponse & { uploadId: string }> {
    const start = { target, format, lengthBytes: BigInt(bytes.length) };
    const { uploadId, committedBytes } = await this.agent.ask(image.startUpload, start);
    const rest = bytes.subarray(Number(committedBytes), until);
    const checksum = { content: { $case: 'checksum' as const, value: { algorithm: 'sha256', digest } } };
    const answer = await this.agent.send(image.uploadImage, [
      { content: { $case: 'header' as const, value: { uploadId, offset: committedBytes } } },
      ...pieces(rest).map((value) => ({ content: { $case: 'data' as const, value } })),
      ...(until === bytes.length ? [checksum] : []),
    ]);
    return { ...answer, uploadId };
  }

  async download(path: string, range: { offset?: number; length?: number } = {}): Promise<Downloaded> {
    const parts: Buffer[] = [];
    let [digest, zeroRuns] = ['', 0];
    for (const { content } of await this.agent.read(image.downloadImage, { path, ...range })) {
      if (content?.$case === 'data') parts.push(content.value);
      if (content?.$case === 'zeroBytes') parts.push(Buffer.alloc(Number(content.value)));
      if (content?.$case === 'zeroBytes') zeroRuns += 1;
      if (content?.$case === 'checksum') digest = content.value.digest;
    }
    return { bytes: Buffer.concat(parts), digest, zeroRuns };
  }

  /** Kills the agent, starts it again, and waits until it answers. Only for cases that need it. */
  async restart(): Promise<void> {
    await restart(this.world);
  }
}

interface Where {
  readonly path: string;
  readonly offset?: bigint;
  readonly append?: boolean;
  readonly requestId?: string;
  readonly umask?: number;
}

/** The messages of a WriteFile. */
export function written(header: Where, bytes: Buffer) {
  return [
    { content: { $case: 'header' as const, value: header } },
    ...pieces(bytes).map((value) => ({ content: { $case: 'data' as const, value } })),
  ];
}

function pieces(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / MESSAGE_BYTES);
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * MESSAGE_BYTES, (n + 1) * MESSAGE_BYTES));
}
