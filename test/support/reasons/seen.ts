/**
 * Which RPC failed for which reason: a note of every failure that a test's client gets, kept for
 * the end of the run.
 */
import { InterceptingCall, type Interceptor, type Metadata } from '@grpc/grpc-js';
import { appendFileSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** An RPC's short name and a reason: `CopyImage SAME_FILE`. */
export type Pair = `${string} ${string}`;

/** Nothing is kept of a run without a folder: of a single file, run by hand. */
const folder = process.env['HOSTLER_RUN'];
const PREFIX = 'reasons.';
const noted = new Set<Pair>();

/** At once, as a test may end its process; a file for each process, as they run side by side. */
function note(rpc: string, reason: string): void {
  const pair: Pair = `${rpc} ${reason}`;
  if (folder === undefined || reason === '' || noted.has(pair)) return;
  noted.add(pair);
  appendFileSync(join(folder, `${PREFIX}${String(process.pid)}`), `${pair}\n`);
}

/** All that clients of this run have got until now. */
export function seenPairs(): Set<Pair> {
  if (folder === undefined) return new Set();
  const files = readdirSync(folder).filter((name) => name.startsWith(PREFIX));
  const lines = files.flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'));
  return new Set(lines.filter(Boolean) as Pair[]);
}

/**
 * How a client reads what came: the reason of a failed call, and those of operations in an answer.
 */
interface Reading {
  readonly ofCall: (metadata: Metadata) => string;
  readonly ofOperations: (answer: unknown) => readonly { readonly method: string; readonly reason: string }[];
}

/** Sees all that a client gets, and changes nothing. */
export function noting({ ofCall, ofOperations }: Reading): Interceptor {
  return (options, nextCall) => {
    const rpc = options.method_definition.path.split('/').at(-1) ?? '';
    return new InterceptingCall(nextCall(options), {
      start(metadata, _listener, next) {
        next(metadata, {
          onReceiveMessage(message: unknown, pass) {
            for (const { method, reason } of ofOperations(message)) note(method, reason);
            pass(message);
          },
          onReceiveStatus(status, pass) {
            note(rpc, ofCall(status.metadata));
            pass(status);
          },
        });
      },
    });
  };
}
