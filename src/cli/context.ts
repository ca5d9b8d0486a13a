import type { ClientReadableStream } from '@grpc/grpc-js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { connect, type Connection } from './connection.js';
import type { TlsPaths } from '../protocol/certificate-files.js';
import { UsageError } from './failure.js';
import { follow } from './follow.js';

export interface GlobalFlags {
  readonly address: string;
  readonly json?: true;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/**
 * What every command gets: a connection for as long as it runs, and whether a program reads the
 * output.
 */
export class Context {
  constructor(private readonly options: () => GlobalFlags) {}

  get json(): boolean {
    return this.options().json ?? false;
  }

  async use(work: (connection: Connection) => Promise<void>): Promise<void> {
    const connection = await connect(this.options().address, tlsOf(this.options()));
    try {
      await work(connection);
    } finally {
      connection.close();
    }
  }

  /** Starts an operation and follows it. */
  follow(
    flags: { readonly detach?: true },
    start: (connection: Connection) => ClientReadableStream<OperationEvent>,
  ): Promise<void> {
    return this.use((connection) =>
      follow(start(connection), connection, { json: this.json, detach: flags.detach ?? false }),
    );
  }

  /** Prints JSON for programs or text for people. */
  print(json: unknown, text: string): void {
    process.stdout.write(`${this.json ? JSON.stringify(json) : text}\n`);
  }
}

/** All three files or none. */
function tlsOf({ tlsCa: ca, tlsCert: cert, tlsKey: key }: GlobalFlags): TlsPaths | undefined {
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  if ((ca ?? cert ?? key) === undefined) return undefined;
  throw new UsageError('--tls-ca, --tls-cert and --tls-key go together');
}
