import type { ImageAddress } from '../model/address.js';
import { HostlerError } from '../model/errors.js';
import type { Journal } from '../operations/journal.js';
import type { OperationRecord } from '../operations/record.js';
import type { Clock, Files } from '../ports/images.js';
import type { UploadChecksum } from './open-upload.js';
import type { Fingerprint } from '../ports/handles.js';
import type { Paths } from '../ports/paths.js';

export interface PublishedPorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly clock: Clock;
  /** How long an upload is remembered. */
  readonly uploadExpireMs: number;
}

/** Limit of remembered uploads. */
const REMEMBERED = 1024;

interface Published {
  readonly spec: string;
  readonly checksum: UploadChecksum;
  readonly file: Fingerprint;
  readonly untilMs: number;
}

/** Uploads that succeeded recently: a caller that did not get the answer comes back to them. */
export class PublishedUploads {
  /** Oldest first. */
  readonly #all = new Map<string, Published>();

  constructor(
    private readonly ports: PublishedPorts,
    private readonly journal: Pick<Journal, 'get'>,
  ) {}

  /** @param file the file with the target's name now */
  add(id: string, published: Omit<Published, 'untilMs'>): void {
    const [oldest] = this.#all.keys();
    if (oldest !== undefined && this.#all.size >= REMEMBERED) this.#all.delete(oldest);
    this.#all.set(id, { ...published, untilMs: this.ports.clock() + this.ports.uploadExpireMs });
  }

  /** The last one of this spec, while the target is still the file that it created. */
  async find(
    spec: string,
    target: ImageAddress,
  ): Promise<{ readonly id: string; readonly ended: OperationRecord } | undefined> {
    const found = [...this.#all].filter(([, each]) => each.spec === spec).at(-1);
    if (found === undefined) return undefined;
    const [id, { file, untilMs }] = found;
    if (untilMs > this.ports.clock() && (await this.#isStill(target, file))) {
      const ended = await this.journal.get(id);
      return ended?.state === 'SUCCEEDED' ? { id, ended } : undefined;
    }
    this.#all.delete(id);
    return undefined;
  }

  /**
   * Checks the digest of an upload that has succeeded. One that is no longer remembered is
   * identified by its id, which only its caller has. Fails with CHECKSUM_MISMATCH, and with
   * TARGET_EXISTS if it cannot be determined.
   */
  assertSame(id: string, { algorithm, digest }: UploadChecksum): void {
    const had = this.#all.get(id)?.checksum;
    if (had === undefined || (had.algorithm === algorithm && had.digest === digest)) return;
    const facts = { upload: id, algorithm, expected: digest };
    if (had.algorithm !== algorithm)
      throw new HostlerError('TARGET_EXISTS', `upload ${id} was published with a digest by ${had.algorithm}`, {
        facts,
      });
    throw new HostlerError('CHECKSUM_MISMATCH', `upload ${id} has the digest ${had.digest}, not ${digest}`, {
      facts: { ...facts, found: had.digest },
    });
  }

  async #isStill(target: ImageAddress, file: Fingerprint): Promise<boolean> {
    const now = await this.ports.paths.source(target).catch(() => undefined); // gone, or no longer an image
    if (now === undefined) return false;
    try {
      const { device, inode, lengthBytes, modifyTimeNs } = await this.ports.files.fingerprint(now);
      const same = device === file.device && inode === file.inode;
      return same && lengthBytes === file.lengthBytes && modifyTimeNs === file.modifyTimeNs;
    } finally {
      await now.handle.close();
    }
  }
}
