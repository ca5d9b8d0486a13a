/** Connections to names with several addresses, as RFC 8305 describes. */
import { connect, type LookupFunction, type Socket } from 'node:net';

/**
 * How long an attempt runs alone before the next address is tried in parallel; the first attempt
 * continues (RFC 8305, 5).
 */
const HEAD_START_MS = 250;

interface Address {
  readonly address: string;
  readonly family: number;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly lookup: LookupFunction;
  /** Limit for all addresses together. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

type Done = (error: Error | null, socket?: Socket) => void;

/**
 * A connection to the first address that answers. The attempts run in parallel, and each may use
 * the whole time.
 */
export function connectAny(place: Endpoint): Promise<Socket> {
  return new Promise((resolve, reject) => {
    connectTo(place, (error, socket) => {
      if (socket === undefined) reject(error ?? noAddress(place.host));
      else resolve(socket);
    });
  });
}

function connectTo(place: Endpoint, done: Done): void {
  const { host, port, lookup, timeoutMs, signal } = place;
  const attempts = new Set<Socket>();
  const failures: Error[] = [];
  let waiting: Address[] | undefined;
  let next: NodeJS.Timeout | undefined;
  let ended = false;

  const end = (error: Error | null, socket?: Socket) => {
    if (ended) {
      socket?.destroy();
      return;
    }
    ended = true;
    clearTimeout(next);
    clearTimeout(patience);
    signal.removeEventListener('abort', abandon);
    for (const attempt of attempts) if (attempt !== socket) attempt.destroy();
    done(error, socket);
  };
  const abandon = () => {
    end(Object.assign(new Error(`connecting to ${host} timed out`), { code: 'ETIMEDOUT' }));
  };
  const patience = setTimeout(abandon, timeoutMs);
  const tryNext = () => {
    clearTimeout(next);
    const address = waiting?.shift();
    if (address === undefined) {
      if (attempts.size === 0) end(worst(failures, host));
      return;
    }
    const socket = connect({ host: address.address, port, family: address.family });
    attempts.add(socket);
    next = setTimeout(tryNext, HEAD_START_MS);
    const failed = (error: Error) => {
      attempts.delete(socket);
      failures.push(error);
      if (!ended) tryNext();
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      end(null, socket);
    });
    // Errors of the other attempts do not matter.
    socket.on('error', () => undefined);
  };
  signal.addEventListener('abort', abandon, { once: true });
  lookup(host, { all: true }, (error, found) => {
    if (ended) return;
    if (error !== null) end(error);
    else {
      waiting = inTurns(Array.isArray(found) ? found : []);
      tryNext();
    }
  });
}

/** Alternates between the address families, in the order of the system's resolver. */
function inTurns(addresses: readonly Address[]): Address[] {
  const first = addresses[0]?.family;
  const one = addresses.filter(({ family }) => family === first);
  const other = addresses.filter(({ family }) => family !== first);
  return one.flatMap((address, n) => [address, ...other.slice(n, n + 1)]).concat(other.slice(one.length));
}

function worst(failures: readonly Error[], host: string): Error {
  if (failures.length === 1 && failures[0] !== undefined) return failures[0];
  return failures.length === 0 ? noAddress(host) : new AggregateError(failures, `no address of ${host} answers`);
}

function noAddress(host: string): Error {
  return Object.assign(new Error(`${host} has no address`), { code: 'ENOTFOUND' });
}
