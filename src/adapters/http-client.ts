import { Agent, ProxyAgent, request, type Dispatcher } from 'undici';
import { HostlerError, asHostlerError } from '../domain/errors.js';
import { AddressPolicy, type AddressRules } from './address-policy.js';
import { errnoOf } from './errno.js';

export interface HttpRules extends AddressRules {
  readonly maxRedirects: number;
  readonly connectMs: number;
  /** Between two signs of life. */
  readonly stallMs: number;
  /** Through which everything goes that `noProxy` does not name; unset: none. */
  readonly proxy?: string;
  readonly noProxy: readonly string[];
  /** Certificates that are trusted beside those of the system. */
  readonly ca?: readonly string[];
}

export interface HttpAnswer {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  /** Frees the connection when the body is of no use. */
  readonly discard: () => Promise<void>;
}

const REDIRECTS = [301, 302, 303, 307, 308];
const USER_AGENT = 'hostler';
/** Of a body that nobody wants, so much is read to keep the connection; more is cut. */
const DISCARD_BYTES = 64 * 1024;

/** GET requests by the rules: where to, which redirects, through which proxy. Never follows anything by itself. */
export class HttpClient {
  readonly #policy: AddressPolicy;
  readonly #direct: Dispatcher;
  readonly #proxied: Dispatcher | undefined;

  constructor(private readonly rules: HttpRules) {
    this.#policy = new AddressPolicy(rules);
    const { connectMs, stallMs, ca, proxy } = rules;
    // The rate is watched by whoever reads; this ends what sends nothing at all.
    const timeouts = { headersTimeout: stallMs, bodyTimeout: stallMs };
    const tls = ca === undefined ? {} : { ca: [...ca] };
    this.#direct = new Agent({ ...timeouts, connect: { timeout: connectMs, lookup: this.#policy.lookup, ...tls } });
    this.#proxied =
      proxy === undefined
        ? undefined
        : // Plain requests go to the proxy as they are, so that a distributor can answer them itself.
          new ProxyAgent({ ...timeouts, uri: proxy, proxyTunnel: false, requestTls: { timeout: connectMs, ...tls } });
  }

  /**
   * The answer after redirects. Headers of the caller go to the host that it named and to no other. Fails with SOURCE_UNAVAILABLE,
   * SOURCE_REFUSED (a certificate), SOURCE_FORBIDDEN.
   */
  async get(
    start: URL,
    headers: Readonly<Record<string, string>>,
    own: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    let url = start;
    for (let redirects = 0; ; redirects++) {
      this.#policy.assertUrl(url);
      const sent = { 'user-agent': USER_AGENT, ...(url.origin === start.origin ? headers : {}), ...own };
      const answer = await this.#once(url, sent, signal);
      const location = answer.header('location');
      if (!REDIRECTS.includes(answer.status) || location === undefined) return answer;
      await answer.discard();
      if (redirects >= this.rules.maxRedirects)
        throw unavailable(start, `more than ${String(this.rules.maxRedirects)} redirects`);
      url = redirected(url, location);
    }
  }

  async #once(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<HttpAnswer> {
    const dispatcher = this.#dispatcherFor(url);
    try {
      const { statusCode, headers: got, body } = await request(url, { method: 'GET', headers, signal, dispatcher });
      const header = (name: string) => {
        const value = got[name];
        return Array.isArray(value) ? value[0] : value;
      };
      const discard = () => body.dump({ limit: DISCARD_BYTES });
      return { status: statusCode, header, body: told(body, url, signal), discard };
    } catch (error) {
      throw asFailure(error, url, signal);
    }
  }

  #dispatcherFor({ hostname }: URL): Dispatcher {
    const { noProxy } = this.rules;
    const spared = noProxy.some((name) => hostname === name || hostname.endsWith(`.${name}`));
    return spared ? this.#direct : (this.#proxied ?? this.#direct);
  }
}

async function* told(body: AsyncIterable<Buffer>, url: URL, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (error) {
    throw asFailure(error, url, signal);
  }
}

function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (to === undefined) throw unavailable(from, 'a redirect to what is no URL');
  if (from.protocol === 'https:' && to.protocol !== 'https:')
    throw new HostlerError('SOURCE_FORBIDDEN', `${from.host} redirects from https to ${to.protocol.slice(0, -1)}`, {
      facts: { host: from.host },
    });
  return to;
}

/** What a URL may be called in an error: its query may hold a secret. */
export function shown(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** Codes of OpenSSL and of Node that speak of a certificate. */
const CERTIFICATE = /CERT|ERR_TLS|SELF_SIGNED|ISSUER|CRL|UNABLE_TO_VERIFY/;

function asFailure(error: unknown, url: URL, signal: AbortSignal): HostlerError {
  if (signal.aborted) return asHostlerError(signal.reason);
  const refusal = chainOf(error).find((each) => each instanceof HostlerError);
  if (refusal instanceof HostlerError) return refusal;
  const code =
    chainOf(error)
      .map(errnoOf)
      .find((each) => each !== undefined) ?? 'unknown';
  if (!CERTIFICATE.test(code)) return unavailable(url, code, error);
  return new HostlerError('SOURCE_REFUSED', `${shown(url)}: its certificate is not accepted: ${code}`, {
    facts: { source: shown(url), code },
    cause: error,
  });
}

/** An error with what caused it. */
function chainOf(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [error];
  const inner = error instanceof AggregateError ? error.errors.flatMap(chainOf) : [];
  return [error, ...inner, ...(error.cause === undefined ? [] : chainOf(error.cause))];
}

export function unavailable(url: URL, why: string, cause?: unknown): HostlerError {
  return new HostlerError('SOURCE_UNAVAILABLE', `${shown(url)}: ${why}`, {
    facts: { source: shown(url), code: why },
    ...(cause === undefined ? {} : { cause }),
  });
}
