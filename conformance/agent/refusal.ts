/** How a call failed: what a program reads of it. */
import { status, type Metadata } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../src/gen/google/rpc/error_details.js';
import { Status } from '../../src/gen/hostler/v1/operation.js';

/** A status with its details. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    message: string,
    readonly code: number,
    /** Empty: the answer has no ErrorInfo. */
    readonly reason: string,
    readonly domain: string,
    readonly facts: Readonly<Record<string, string>>,
    /** The wrong fields, of an INVALID_FIELD. */
    readonly fields: readonly string[],
    /** The answer says how long to wait. */
    readonly hasDelay: boolean,
  ) {
    super(message);
  }

  /** The agent itself has said nothing: there is no connection, or no agent. */
  get isNoAnswer(): boolean {
    return status[this.code] === 'UNAVAILABLE' && this.reason === '';
  }

  /** For people. */
  get summary(): string {
    const name = this.reason === '' ? 'no reason' : this.reason;
    return `${name} (${status[this.code] ?? String(this.code)}): ${this.message}`;
  }
}

interface Failed {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** From the error of a call. */
export function refusalOf({ code, details, metadata }: Failed): Refusal {
  const [packed] = metadata.get('grpc-status-details-bin');
  if (packed instanceof Buffer) return refusalIn(Status.decode(packed));
  return new Refusal(details, code, '', '', {}, [], false);
}

/** From a status in a message: the error of an operation, or of one image of many. */
export function refusalIn({ code, message, details }: Status): Refusal {
  const of = (name: string) => details.find(({ typeUrl }) => typeUrl.endsWith(`/${name}`))?.value;
  const [info, bad, retry] = [of('google.rpc.ErrorInfo'), of('google.rpc.BadRequest'), of('google.rpc.RetryInfo')];
  const { reason, domain, metadata } = ErrorInfo.decode(info ?? Buffer.alloc(0));
  const fields = BadRequest.decode(bad ?? Buffer.alloc(0)).fieldViolations.map(({ field }) => field);
  const hasDelay = retry !== undefined && RetryInfo.decode(retry).retryDelay !== undefined;
  return new Refusal(message, code, reason, domain, metadata, fields, hasDelay);
}
