/** A real Prometheus on the loopback that scrapes daemons every second. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installed, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';

const [START_TRIES, STEP_MS] = [1200, 50];
/** What the rules and the dashboard call the daemons. */
export const JOB = 'hostler';

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data?: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>;
      readonly value?: readonly [number, string];
      readonly values?: readonly (readonly [number, string])[];
    }[];
  };
}

/** A series of an answer, with its values in the time that was asked for. */
export interface Found {
  readonly labels: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

export class Prometheus {
  #log = '';
  readonly #startedAt = Date.now() / 1000;

  private constructor(
    private readonly port: number,
    private readonly child: ChildProcess,
  ) {
    child.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
  }

  /**
   * Starts one until the suite ends, or skips.
   * @param targets HOST:PORT of each daemon
   * @param rules a file of alert rules; unset: none
   */
  static async start(
    context: Mocha.Context,
    scratch: Scratch,
    targets: readonly string[],
    rules?: string,
  ): Promise<Prometheus> {
    needs(context, installed('prometheus'), 'prometheus is not installed (scripts/metrics-packages.sh)');
    const folder = scratch.path('prometheus');
    await mkdir(folder, { recursive: true });
    const config = {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      ...(rules === undefined ? {} : { rule_files: [rules] }),
      scrape_configs: [{ job_name: JOB, static_configs: [{ targets }] }],
    };
    // JSON is YAML.
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config));
    const port = await freePort();
    const words = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${String(port)}`,
    ];
    const child = spawn('prometheus', words, { stdio: ['ignore', 'ignore', 'pipe'] });
    const prometheus = new Prometheus(port, child);
    scratch.onEnd(() => prometheus.stop());
    for (let tries = 0; !(await prometheus.#isReady()); tries++) {
      if (tries > START_TRIES || child.exitCode !== null) throw new Error(prometheus.#log);
      await sleep(STEP_MS);
    }
    return prometheus;
  }

  /** All series that a query has had since the start, without values that are none. */
  async range(query: string): Promise<readonly Found[]> {
    const [start, end] = [String(this.#startedAt), String(Date.now() / 1000)];
    const answer = await this.#ask('query_range', { query, start, end, step: '1' });
    return answer.flatMap(({ metric, values = [] }) => {
      const numbers = values.map(([, value]) => Number(value)).filter((value) => !Number.isNaN(value));
      return numbers.length === 0 ? [] : [{ labels: metric, values: numbers }];
    });
  }

  /** The names of alerts that fire now. */
  async firing(): Promise<readonly string[]> {
    const answer = await this.#ask('query', { query: 'ALERTS{alertstate="firing"}' });
    return [...new Set(answer.map(({ metric }) => metric['alertname'] ?? ''))].sort();
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }

  async #ask(kind: 'query' | 'query_range', parameters: Readonly<Record<string, string>>) {
    const query = new URLSearchParams(parameters).toString();
    const response = await fetch(`http://127.0.0.1:${String(this.port)}/api/v1/${kind}?${query}`);
    const { status, error, data } = (await response.json()) as Answer;
    if (status !== 'success' || data === undefined) throw new Error(`${parameters['query'] ?? ''}: ${error ?? status}`);
    return data.result;
  }

  async #isReady(): Promise<boolean> {
    // It does not listen yet.
    const answer = await fetch(`http://127.0.0.1:${String(this.port)}/-/ready`).catch(() => undefined);
    return answer?.ok === true;
  }
}

/** Of the loopback, and free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
