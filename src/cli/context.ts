import type { ClientReadableStream } from '@grpc/grpc-js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { connect, type Connection } from './connection.js';
import { follow } from './follow.js';

/** What every command gets: a connection for as long as it runs, and whether a program reads the output. */
export class Context {
  constructor(private readonly options: () => { readonly address: string; readonly json?: true }) {}

  get json(): boolean {
    return this.options().json ?? false;
  }

  async use(work: (connection: Connection) => Promise<void>): Promise<void> {
    const connection = connect(this.options().address);
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
