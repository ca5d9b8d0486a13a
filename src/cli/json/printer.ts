/** The output of --json: one object on each line, for the answer, an event, or the error. */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { Status } from '../../gen/google/rpc/status.js';
import type { Codec, ToJson } from './codec.js';

/** Writes JSON for programs. */
export class JsonPrinter {
  /** A list is being written: its object is not closed yet. */
  #inList = false;

  constructor(
    private readonly toJson: ToJson,
    private readonly out: Writable,
  ) {}

  /** A printer for standard output. Loads modules that a command without --json does not need. */
  static async load(): Promise<JsonPrinter> {
    const { loadProtoJson } = await import('./proto-json.js');
    return new JsonPrinter(loadProtoJson(), process.stdout);
  }

  /** Writes a message of the contract. */
  message<T>(codec: Codec<T>, message: T): void {
    this.object(this.toJson(codec, message));
  }

  /** An object that is not a message of the contract. */
  object(value: unknown): void {
    this.out.write(`${JSON.stringify(value)}\n`);
  }

  /**
   * An answer that is only a list, which may be too long for the memory: `{"FIELD":[…]}`, written
   * as the items arrive.
   */
  async list<T>(field: string, codec: Codec<T>, items: AsyncIterable<T>): Promise<void> {
    const head = `{${JSON.stringify(field)}:[`;
    for await (const item of items) {
      await this.#written(`${this.#inList ? ',' : head}${JSON.stringify(this.toJson(codec, item))}`);
      this.#inList = true;
    }
    await this.#written(`${this.#inList ? '' : head}]}\n`);
    this.#inList = false;
  }

  /** The error that ended the command; in the middle of a list it also closes the list's object. */
  error(status: Status): void {
    const text = `"error":${JSON.stringify(this.toJson(Status, status))}}\n`;
    this.out.write(this.#inList ? `],${text}` : `{${text}`);
  }

  async #written(text: string): Promise<void> {
    if (!this.out.write(text)) await once(this.out, 'drain');
  }
}
