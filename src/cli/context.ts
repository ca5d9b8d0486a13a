import type { ClientReadableStream } from '@grpc/grpc-js';
import type { OperationEvent } from '../gen/hostler/v1/operation.js';
import { connect, type Connection } from './connection.js';
import { findContext } from './contexts.js';
import type { TlsPaths } from '../protocol/certificate-files.js';
import { UsageError } from './failure.js';
import { follow } from './follow.js';
import type { Codec } from './json/codec.js';
import { JsonPrinter } from './json/printer.js';

const DEFAULT_ADDRESS = 'unix:///run/hostler/hostler.sock';
const TLS_FLAGS = ['tlsCa', 'tlsCert', 'tlsKey'] as const;

/** The daemon that a command calls. */
interface Daemon {
  readonly address: string;
  readonly tls?: TlsPaths | undefined;
  /** The folder in which relative paths are; of contexts only. */
  readonly root?: string | undefined;
}

/** Whether a flag was given on the command line, not in the environment. */
type IsArgument = (flag: keyof GlobalFlags) => boolean;

export interface GlobalFlags {
  readonly address?: string;
  readonly context?: string;
  readonly json?: true;
  /** Seconds. */
  readonly connectTimeout: number;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/**
 * What every command gets: a connection for as long as it runs, and whether a program reads the
 * output.
 */
export class Context {
  constructor(
    private readonly options: () => GlobalFlags,
    private readonly isArgument: IsArgument,
  ) {}

  #printer: JsonPrinter | undefined;
  #daemon: Daemon | undefined;

  /** The address of the connection, once there is one. */
  get address(): string {
    return this.#daemon?.address ?? '';
  }

  /** Address and TLS files from the arguments, not from the environment. */
  get arguments(): Partial<Daemon> {
    const { address } = this.options();
    const tls = TLS_FLAGS.some(this.isArgument) ? tlsOf(this.options()) : undefined;
    return {
      ...(address !== undefined && this.isArgument('address') ? { address } : {}),
      ...(tls === undefined ? {} : { tls }),
    };
  }

  /** Whether a program reads the output. */
  get json(): boolean {
    return this.options().json ?? false;
  }

  /** Call it before a command runs: loads what --json needs. */
  async prepare(): Promise<void> {
    if (this.json) await this.printer();
  }

  /** The printer of JSON, loaded when it is used first. */
  async printer(): Promise<JsonPrinter> {
    return (this.#printer ??= await JsonPrinter.load());
  }

  async use(work: (connection: Connection) => Promise<void>): Promise<void> {
    this.#daemon = await this.#chooseDaemon();
    const connection = await connect(this.#daemon.address, this.#daemon.tls, this.#daemon.root);
    try {
      await Promise.race([work(connection), connection.silence(this.options().connectTimeout * 1000)]);
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
      follow(start(connection), connection, { json: this.#printer, detach: flags.detach ?? false }),
    );
  }

  /** Prints a message of the contract as JSON for programs, or text for people. */
  print<T>(codec: Codec<T>, message: T, text: string): void {
    if (this.#printer === undefined) process.stdout.write(`${text}\n`);
    else this.#printer.message(codec, message);
  }

  /** The same for an object that is not a message of the contract. */
  printObject(json: object, text: string): void {
    if (this.#printer === undefined) process.stdout.write(`${text}\n`);
    else this.#printer.object(json);
  }

  /** The items of a long list as they arrive: one object with all of them, or a text for each. */
  async list<T>(field: string, codec: Codec<T>, items: AsyncIterable<T>, text: (item: T) => string): Promise<void> {
    if (this.#printer !== undefined) await this.#printer.list(field, codec, items);
    else for await (const item of items) process.stdout.write(`${text(item)}\n`);
  }

  /**
   * From the arguments, otherwise the environment, otherwise a context, otherwise the default
   * socket. A context is used as a whole: TLS files in the environment belong to another daemon.
   */
  async #chooseDaemon(): Promise<Daemon> {
    const flags = this.options();
    const isContextNamed = flags.context !== undefined && this.isArgument('context');
    if (isContextNamed && this.isArgument('address')) throw new UsageError('give --address or --context, not both');
    if (flags.address !== undefined && !isContextNamed) return { address: flags.address, tls: tlsOf(flags) };
    const context = await findContext(flags.context);
    if (context === undefined) return { address: DEFAULT_ADDRESS, tls: tlsOf(flags) };
    return { address: context.address, tls: this.arguments.tls ?? context.tls, root: context.root };
  }
}

/** All three files or none. */
function tlsOf({ tlsCa: ca, tlsCert: cert, tlsKey: key }: GlobalFlags): TlsPaths | undefined {
  if (ca !== undefined && cert !== undefined && key !== undefined) return { ca, cert, key };
  if ((ca ?? cert ?? key) === undefined) return undefined;
  throw new UsageError('--tls-ca, --tls-cert and --tls-key go together');
}
