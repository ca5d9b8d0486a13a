import { unwatchFile, watchFile } from 'node:fs';
import { readTlsFiles, type TlsFiles, type TlsPaths } from '../protocol/certificate-files.js';

/** A renewed certificate is used after this time at the latest, without a reload. */
const LOOK_MS = 5000;

export interface CertificateLog {
  reloaded(): void;
  /** The old files stay in use. */
  failed(cause: unknown): void;
}

/** The daemon's certificate, key and authorities, read again when they change or on request. */
export class Certificates {
  readonly #listeners = new Set<(files: TlsFiles) => void>();
  readonly #look = () => void this.reload();
  #reading: Promise<void> = Promise.resolve();

  private constructor(
    private readonly paths: TlsPaths,
    private readonly log: CertificateLog,
    private current: TlsFiles,
  ) {
    for (const path of this.#files) watchFile(path, { interval: LOOK_MS, persistent: false }, this.#look);
  }

  /** Fails with TlsFilesBroken. */
  static async open(paths: TlsPaths, log: CertificateLog): Promise<Certificates> {
    return new Certificates(paths, log, await readTlsFiles(paths));
  }

  get files(): TlsFiles {
    return this.current;
  }

  onChange(listener: (files: TlsFiles) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Never rejects. If only one of the files has been replaced yet they do not match: the next check
   * finds the other.
   */
  reload(): Promise<void> {
    return (this.#reading = this.#reading.then(async () => {
      try {
        const files = await readTlsFiles(this.paths);
        for (const listener of this.#listeners) listener(files);
        this.current = files;
        this.log.reloaded();
      } catch (cause) {
        this.log.failed(cause);
      }
    }));
  }

  close(): void {
    for (const path of this.#files) unwatchFile(path, this.#look);
  }

  get #files(): string[] {
    const { ca, cert, key, crl } = this.paths;
    return [ca, cert, key, ...(crl === undefined ? [] : [crl])];
  }
}
