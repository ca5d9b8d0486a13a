import { get as httpGet, type Agent, type IncomingMessage, type RequestOptions } from 'node:http';
import { get as httpsGet } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { HostlerError, asHostlerError } from '../../domain/model/errors.js';
import { AddressPolicy, type AddressRules } from './address-policy.js';
import { errnoOf } from '../linux/errno.js';
import { connectAny } from './connect-any.js';
import { Routes, type ProxyRules } from './routes.js';

export interface HttpRules extends AddressRules {
  readonly maxRedirects: number;
  readonly connectMs: number;
  /** The longest time without any data. */
  readonly stallMs: number;
  readonly proxy: ProxyRules;
  /**
   * Origin of a server that the operator configured: it may be on the loopback, whatever `loopback`
   * says.
   */
  readonly named?: string;
  /** Trusted CA certificates; unset: those of Node. */
  readonly ca?: readonly string[];
}

export interface HttpAnswer {
  /** Final URL after redirects. */
  readonly url: URL;
  readonly status: number;
  /** The values of all lines with this name, joined. */
  readonly header: (name: string) => string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /**
   * Whether the server marks the end of the body, by a length or a last chunk. Otherwise the body
   * ends with the connection.
   */
  readonly hasEnd: boolean;
  /** Bytes of the body received so far. */
  readonly receivedBytes: () => number;
  /** Closes the connection when the body is not needed. */
  readonly discard: () => void;
}

const REDIRECTS = [301, 302, 303, 307, 308];
const USER_AGENT = 'hostler';
const HTTP_PORT = 80;
const HTTPS_PORT = 443;
/** Headers whose values list the codings that were applied to the content, in order. */
const LISTS = ['transfer-encoding', 'content-encoding'];
/**
 * Limit for the head of an answer. Some servers send policies and cookies of more than Node's 16
 * KiB.
 */
const MAX_HEAD_BYTES = 256 * 1024;
/**
 * Accepts heads whose lines end with LF alone, as RFC 9112, 2.2 allows. The other leniencies affect
 * only later requests on a connection, and each connection here has one.
 */
const LAX = { insecureHTTPParser: true, maxHeaderSize: MAX_HEAD_BYTES };

/**
 * GET requests within the rules: allowed addresses, redirects and proxies. Redirects are never
 * followed without a check.
 */
export class HttpClient {
  readonly #policy: AddressPolicy;
  readonly #namedPolicy: AddressPolicy;
  /** The reader watches the rate. This limit ends connections that no reader watches. */
  readonly #patienceMs: number;
  readonly #tls: { readonly ca?: string[] };
  readonly #routes: Routes;

  constructor(private readonly rules: HttpRules) {
    this.#policy = new AddressPolicy(rules);
    this.#namedPolicy = new AddressPolicy({ ...rules, loopback: true });
    const { ca, proxy, connectMs } = rules;
    this.#routes = new Routes(proxy, connectMs);
    this.#patienceMs = 2 * rules.stallMs;
    this.#tls = ca === undefined ? {} : { ca: [...ca] };
  }

  /**
   * The answer after redirects. The caller's headers are sent only to the host that the caller
   * named. Fails with SOURCE_UNAVAILABLE, SOURCE_REFUSED (a certificate), SOURCE_FORBIDDEN.
   */
  async get(
    start: URL,
    headers: Readonly<Record<string, string>>,
    own: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    let url = start;
    for (let redirects = 0; ; redirects++) {
      (this.#isNamed(url) ? this.#namedPolicy : this.#policy).assertUrl(url);
      const secret = url.origin === start.origin ? headers : {};
      const detour = this.#routes.detourTo(url);
      // A query may hold a signature or a password, so it is not shown.
      const asked = url.search === start.search ? url.search : '';
      if (detour?.reads === true && (Object.keys(secret).length > 0 || asked !== '')) throw wouldShow(url);
      const answer = await this.#once(url, { 'user-agent': USER_AGENT, ...secret, ...own }, detour?.agent, signal);
      const location = answer.header('location');
      if (!REDIRECTS.includes(answer.status) || location === undefined) return answer;
      answer.discard();
      if (redirects >= this.rules.maxRedirects)
        throw unavailable(start, `more than ${String(this.rules.maxRedirects)} redirects`);
      url = redirected(url, location);
    }
  }

  async #once(url: URL, headers: Headers, proxy: Agent | undefined, signal: AbortSignal): Promise<HttpAnswer> {
    try {
      const way = proxy === undefined ? await this.#straight(url, signal) : { agent: proxy, ...this.#tls };
      const { answer, broken } = await this.#ask(url, { headers, signal, ...LAX, ...way });
      let received = 0;
      const onBytes = (bytes: number) => {
        received += bytes;
      };
      return {
        status: answer.statusCode ?? 0,
        url,
        header: (name) => joined(name, answer.headersDistinct[name]),
        body: watchedBody(answer, url, { patienceMs: this.#patienceMs, signal, broken, onBytes }),
        hasEnd: !endsWithLine(answer),
        receivedBytes: () => received,
        discard: () => {
          answer.destroy();
        },
      };
    } catch (error) {
      throw asFailure(error, url, signal);
    }
  }

  /** A new connection to an allowed address. */
  async #straight(url: URL, signal: AbortSignal): Promise<RequestOptions> {
    const { lookup } = this.#isNamed(url) ? this.#namedPolicy : this.#policy;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const secure = url.protocol === 'https:';
    const port = Number(url.port === '' ? (secure ? HTTPS_PORT : HTTP_PORT) : url.port);
    const socket = await connectAny({ host, port, lookup, timeoutMs: this.rules.connectMs, signal });
    return { createConnection: () => (secure ? this.#secured(socket, host) : socket) };
  }

  #secured(socket: Socket, host: string): Socket {
    const name = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ socket, host, ...name, ALPNProtocols: ['http/1.1'], ...this.#tls });
  }

  /** The head of the answer; `broken` tells how the connection ended if that was not in order. */
  #ask(url: URL, options: RequestOptions): Promise<Asked> {
    const { connectMs } = this.rules;
    return new Promise((resolve, reject) => {
      const request = url.protocol === 'https:' ? httpsGet(url, options) : httpGet(url, options);
      let timer = setTimeout(() => request.destroy(timedOut('connecting')), connectMs);
      const onConnected = () => {
        clearTimeout(timer);
        timer = setTimeout(() => request.destroy(timedOut('waiting for the answer')), this.#patienceMs);
      };
      request.once('socket', (socket) => {
        if (socket.connecting) socket.once('connect', onConnected);
        else onConnected();
      });
      let failure: Error | undefined;
      request.once('response', (answer: IncomingMessage) => {
        resolve({ answer, broken: () => failure });
      });
      request.on('error', (error) => {
        failure ??= error;
        reject(error);
      });
      request.once('response', () => {
        clearTimeout(timer);
      });
      request.once('close', () => {
        clearTimeout(timer);
      });
    });
  }

  #isNamed({ origin }: URL): boolean {
    return origin === this.rules.named;
  }
}

type Headers = Readonly<Record<string, string>>;

interface Asked {
  readonly answer: IncomingMessage;
  readonly broken: () => Error | undefined;
}

interface Listening {
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  readonly broken: Asked['broken'];
  readonly onBytes: (bytes: number) => void;
}

/**
 * The body as it arrives. A source that sends nothing for the stall time is given up; a slow reader
 * is not an error. A body that ends with the connection is complete only if the connection was
 * closed in order: Node reports a reset as a normal end.
 */
async function* watchedBody(
  body: IncomingMessage,
  url: URL,
  { patienceMs, signal, broken, onBytes }: Listening,
): AsyncGenerator<Uint8Array, void> {
  const pieces: AsyncIterator<Buffer> = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = setTimeout(() => body.destroy(timedOut('waiting for data')), patienceMs);
      const next = await pieces.next().finally(() => {
        clearTimeout(timer);
      });
      if (next.done === true) {
        const failure = endsWithLine(body) ? broken() : undefined;
        if (failure !== undefined) throw failure;
        return;
      }
      onBytes(next.value.length);
      yield next.value;
    }
  } catch (error) {
    throw asFailure(error, url, signal);
  } finally {
    body.destroy();
  }
}

/**
 * Joins the lines of a header. A header with one value counts only if all lines agree; a list keeps
 * each value.
 */
function joined(name: string, values: readonly string[] | undefined): string | undefined {
  return (LISTS.includes(name) ? values : values && [...new Set(values)])?.join(', ');
}

function endsWithLine({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === undefined && headers['transfer-encoding'] === undefined;
}

function timedOut(doing: string): Error {
  return Object.assign(new Error(`timed out ${doing}`), { code: 'ETIMEDOUT' });
}

function redirected(from: URL, location: string): URL {
  // Node decodes headers as Latin-1, but most servers send UTF-8; a URL has its bytes
  // percent-encoded.
  const bytes = location.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
  const to = URL.canParse(bytes, from.href) ? new URL(bytes, from) : undefined;
  if (to === undefined) throw unavailable(from, 'a redirect to what is no URL');
  const allowed = from.protocol === 'https:' ? ['https:'] : ['http:', 'https:'];
  if (!allowed.includes(to.protocol)) {
    const change = `from ${from.protocol.slice(0, -1)} to ${to.protocol.slice(0, -1)}`;
    throw new HostlerError('SOURCE_FORBIDDEN', `${from.host} redirects ${change}`, { facts: { host: from.host } });
  }
  return to;
}

function wouldShow(url: URL): HostlerError {
  const why = 'headers, or a query, of the caller would pass through the proxy in the clear (fetch.proxy_sees_secrets)';
  return new HostlerError('SOURCE_FORBIDDEN', `${shown(url)}: ${why}`, { facts: { host: url.host } });
}

/** The URL without its query, for errors: a query may hold a secret. */
export function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Alerts by which a server rejects the client's certificate. */
const OF_THE_CALLER = /ALERT_(?:\w*CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/;
/** Error codes of OpenSSL and Node about a certificate. */
const CERTIFICATE = /CERT|ERR_TLS|SELF_SIGNED|ISSUER|CRL|UNABLE_TO_|INVALID_(PURPOSE|CA)|PATH_LENGTH|HOSTNAME/;

/**
 * Error codes of Node's parser, which rejects an answer with two Content-Length headers even if
 * they are equal.
 */
const UNREADABLE = /^HPE_/;

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function asFailure(error: unknown, url: URL, signal: AbortSignal): HostlerError {
  if (signal.aborted) return asHostlerError(signal.reason);
  const refusal = chainOf(error).find((each) => each instanceof HostlerError);
  if (refusal instanceof HostlerError) return refusal;
  const code =
    chainOf(error)
      .map(errnoOf)
      .find((each) => each !== undefined) ?? 'unknown';
  const wantsOurs = OF_THE_CALLER.test(code);
  if (UNREADABLE.test(code)) return unavailable(url, `its answer cannot be read: ${wordsOf(error)} (${code})`, error);
  if (!wantsOurs && !CERTIFICATE.test(code)) return unavailable(url, code, error);
  const why = wantsOurs
    ? 'it wants a certificate of who fetches, and there is none'
    : 'its certificate is not accepted';
  return new HostlerError('SOURCE_REFUSED', `${shown(url)}: ${why}: ${code}`, {
    facts: { source: shown(url), code },
    cause: error,
  });
}

/** An error and its causes. */
function chainOf(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [error];
  const inner = error instanceof AggregateError ? error.errors.flatMap(chainOf) : [];
  return [error, ...inner, ...(error.cause === undefined ? [] : chainOf(error.cause))];
}

/**
 * SOURCE_UNAVAILABLE for a URL, shown without its secrets; `why` is an error code or a short text.
 */
export function unavailable(url: URL, why: string, cause?: unknown): HostlerError {
  return new HostlerError('SOURCE_UNAVAILABLE', `${shown(url)}: ${why}`, {
    facts: { source: shown(url), code: why },
    ...(cause === undefined ? {} : { cause }),
  });
}
