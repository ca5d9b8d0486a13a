/** Two real agents that know each other, each in a network namespace of its own. */
import { Daemon } from '../daemon.js';
import { HERE, THERE, TwoHosts, agentToml, startSshd } from './network.js';
import { Pki } from './pki.js';
import type { Scratch } from '../scratch.js';
import type { Message } from '../stranger.js';
import { until } from '../until.js';

export const A = { host: 'hv1.example', address: HERE.v4 };
export const B = { host: 'hv2.example', address: THERE.v4 };
/** So long an export waits for whoever asked for it. */
const EXPORTS = 'idle_seconds = 3';

export class TwoAgents {
  #a: Daemon | undefined;
  #b: Daemon | undefined;
  /** The table of a, where it has one. */
  #ssh = '';

  private constructor(
    private readonly scratch: Scratch,
    readonly hosts: TwoHosts,
    readonly pki: Pki,
    private readonly pulls: string,
  ) {}

  /** @param pulls their table of that name */
  static async start(scratch: Scratch, pulls: string): Promise<TwoAgents> {
    const hosts = await TwoHosts.connect();
    scratch.onEnd(() => hosts.remove());
    const pki = await Pki.init(scratch.path('pki'));
    for (const { host, address } of [A, B]) await pki.issue('agent', host, { dns: [host], ip: [address] });
    const agents = new TwoAgents(scratch, hosts, pki, pulls);
    scratch.onEnd(() => Promise.all([agents.#a?.stop(), agents.#b?.stop()]));
    await agents.startA();
    await agents.startB();
    return agents;
  }

  get a(): Daemon {
    if (this.#a === undefined) throw new Error('agent a has not started');
    return this.#a;
  }

  get b(): Daemon {
    if (this.#b === undefined) throw new Error('agent b has not started');
    return this.#b;
  }

  async startA(more = ''): Promise<void> {
    const { top, toml } = agentToml(this.pki, A, B, { exports: EXPORTS });
    const within = this.hosts.on(this.hosts.here);
    this.#a = await Daemon.start(this.scratch.path('a'), {
      toml: `${top}${toml}${this.pulls}${this.#ssh}${more}`,
      within,
    });
  }

  async startB(more = '', pulls = this.pulls): Promise<void> {
    const { top, toml } = agentToml(this.pki, B, A, { exports: EXPORTS });
    const within = this.hosts.on(this.hosts.there);
    this.#b = await Daemon.start(this.scratch.path('b'), { toml: `${top}${toml}${pulls}${more}`, within });
  }

  /**
   * Lets a reach b's host by ssh too; at `BARE_PORT` it has none of the programs that are
   * `lacking`. Starts a anew.
   */
  async addSsh(lacking: readonly string[] = []): Promise<void> {
    const sshd = await startSshd(this.scratch.path('sshd'), this.hosts, this.hosts.there, lacking);
    this.scratch.onEnd(() => sshd.stop());
    this.#ssh = sshd.toml;
    await this.a.stop();
    await this.startA();
  }

  /** Asks b to copy from a. */
  pullRequest(source: string, target: string, more: Message = {}): Message {
    return {
      source: this.a.image(source),
      target: this.b.image(target),
      remote: { host: A.host, agent: true },
      remote_side: 'REMOTE_SIDE_SOURCE',
      ...more,
    };
  }

  /** Asks a to copy to b. */
  pushRequest(source: string, target: string, more: Message = {}): Message {
    return {
      source: this.a.image(source),
      target: this.b.image(target),
      remote: { host: B.host, agent: true },
      ...more,
    };
  }

  async pull(source: string, target: string, more: Message = {}): Promise<Message> {
    const result = await this.b.stranger.operation('ImageService/CopyImage', this.pullRequest(source, target, more));
    return result['copy'] as Message;
  }

  async push(source: string, target: string, more: Message = {}): Promise<Message> {
    const result = await this.a.stranger.operation('ImageService/CopyImage', this.pushRequest(source, target, more));
    return result['copy'] as Message;
  }

  /** Waits until neither is at work: exports are closed when their user is gone. */
  async idle(): Promise<void> {
    for (const daemon of [this.a, this.b])
      await until(async () => {
        const { operations = [] } = (await daemon.stranger.unary('OperationService/ListOperations', {
          filter: { states: ['OPERATION_STATE_RUNNING'] },
        })) as { operations?: Message[] };
        return operations.length === 0;
      }, 15_000);
  }

  /** What has come to b's host by the cable so far. */
  async receivedBytes(): Promise<number> {
    return Number(await this.hosts.run(this.hosts.there, 'cat', '/sys/class/net/cable/statistics/rx_bytes'));
  }
}
