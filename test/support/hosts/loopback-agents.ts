/**
 * Real agents that know each other, each on a loopback address of its own: no root, no network
 * namespaces.
 */
import { randomInt } from 'node:crypto';
import { Daemon } from '../daemon.js';
import { Pki } from './pki.js';
import type { Scratch } from '../scratch.js';
import type { Message } from '../stranger.js';

/** Of their configuration. */
export interface AgentOptions {
  /** More TOML, after `[pulls]`. */
  readonly pulls?: string;
  /** More tables. */
  readonly more?: string;
}

export class LoopbackAgents {
  readonly #daemons: (Daemon | undefined)[] = [];
  /** A network of this run alone. */
  readonly #network = `127.${String(randomInt(1, 255))}.${String(randomInt(255))}`;

  private constructor(
    private readonly scratch: Scratch,
    private readonly pki: Pki,
    readonly count: number,
  ) {}

  static async start(scratch: Scratch, count: number, options: AgentOptions = {}): Promise<LoopbackAgents> {
    const agents = new LoopbackAgents(scratch, await Pki.init(scratch.path('pki')), count);
    scratch.onEnd(() => agents.stop());
    for (let index = 0; index < count; index++) {
      const host = agents.host(index);
      await agents.pki.issue('agent', host, { dns: [host], ip: [agents.#address(index)] });
    }
    await Promise.all(Array.from({ length: count }, (_, index) => agents.restart(index, options)));
    return agents;
  }

  host(index: number): string {
    return `host-${String(index)}.example`;
  }

  at(index: number): Daemon {
    const daemon = this.#daemons[index];
    if (daemon === undefined) throw new Error(`agent ${String(index)} has not started`);
    return daemon;
  }

  /** Starts it, or starts it again when it has ended. */
  async restart(index: number, { pulls = '', more = '' }: AgentOptions = {}): Promise<Daemon> {
    const own = this.host(index);
    const others = Array.from({ length: this.count }, (_, other) => other).filter((other) => other !== index);
    const toml = [
      `[[listeners]]\naddress = "tcp://${this.#address(index)}:16520"`,
      `[exports]\nhost = "${own}"\naddress = "${this.#address(index)}"\nidle_seconds = 3`,
      `[pulls]\n${pulls}`,
      ...others.flatMap((other) => [
        `[[callers]]\nname = "dns:${this.host(other)}"\nrole = "agent"\nread = ["/"]\nwrite = ["/"]`,
        `[[peers]]\nhost = "${this.host(other)}"\naddress = "${this.#address(other)}:16520"\ntrusted = true`,
      ]),
      more,
    ].join('\n');
    const [cert, key] = [this.pki.path(`${own}.pem`), this.pki.path(`${own}.key`)];
    const top = `[tls]\nca = "${this.pki.path('ca.pem')}"\ncert = "${cert}"\nkey = "${key}"\n`;
    const daemon = await Daemon.start(this.scratch.path(`agent-${String(index)}`), { toml: `${top}${toml}\n` });
    this.#daemons[index] = daemon;
    return daemon;
  }

  /** Asks one to copy from another. */
  pullRequest(from: number, to: number, name: string, more: Message = {}): Message {
    return {
      ...{ source: this.at(from).image(name), target: this.at(to).image(`${name}-at-${String(to)}`) },
      ...{ remote: { host: this.host(from), agent: true }, remote_side: 'REMOTE_SIDE_SOURCE' },
      ...more,
    };
  }

  /** Asks one to copy to another. */
  pushRequest(from: number, to: number, name: string, more: Message = {}): Message {
    return {
      ...{ source: this.at(from).image(name), target: this.at(to).image(`${name}-at-${String(to)}`) },
      ...{ remote: { host: this.host(to), agent: true }, remote_side: 'REMOTE_SIDE_TARGET' },
      ...more,
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#daemons.flatMap((daemon) => (daemon === undefined ? [] : [daemon.stop()])));
  }

  #address(index: number): string {
    return `${this.#network}.${String(index + 1)}`;
  }
}
