/**
 * Runs calls side by side, looks at what comes of each, and keeps one example of each kind of
 * mistake.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Stranger } from '../support/stranger.js';
import { bodyOf, type Case } from './cases.js';
import { IDS } from './requests.js';
import { kindOf, wrongWith } from './verdict.js';
import type { World } from './world.js';

const SIDE_BY_SIDE = 32;
/** Uploads end with what callers send to them. */
const RENEW_EVERY = 200;
const RESTORE_EVERY = 100;
const SETTLE_EVERY = 2500;
const UPLOADERS = ['admin', 'operator', 'tenant'];
/** More are no more use to whoever reads them. */
const MOST_DEATHS = 20;

export interface Finding {
  readonly wrong: string;
  /** Unset: nobody knows which call it was. */
  readonly example: Case | undefined;
  times: number;
}

export class Campaign {
  readonly findings = new Map<string, Finding>();
  /** By code and reason. */
  readonly ends = new Map<string, number>();
  deaths = 0;
  /** The most that any daemon had, in MiB. */
  peak = 0;
  readonly #flying = new Set<Case>();
  readonly #uploads = new Map<string, string>();

  constructor(private readonly world: World) {}

  /** @param make the n-th call */
  async run(count: number, make: (n: number) => Case): Promise<void> {
    for (let done = 0; done < count && this.deaths < MOST_DEATHS;) {
      const until = Math.min(count, done + SETTLE_EVERY);
      let next = done;
      const worker = async () => {
        while (next < until && this.world.lives) {
          const n = next++;
          if (n % RENEW_EVERY === 0) await this.renew();
          if (n % RESTORE_EVERY === 0) await this.world.restore();
          await this.one(make(n));
        }
      };
      await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
      done = next;
      await this.#afterRound();
    }
  }

  /** One call, and what is wrong with what came of it. */
  async one(each: Case): Promise<string | undefined> {
    this.#flying.add(each);
    const outcome = await this.world.line(each.role).call(each, this.#withIds(each));
    // The daemon's end is heard of a moment after that of its connections.
    if (outcome.kind === 'lost') await sleep(50);
    if (!this.world.lives) return 'the daemon ended';
    this.#flying.delete(each);
    const end = outcome.kind === 'status' ? `${String(outcome.error.code)} ${outcome.error.reason}` : outcome.kind;
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    const wrong = wrongWith(each, outcome);
    if (wrong !== undefined) this.#note(kindOf(each, wrong), wrong, each);
    return wrong;
  }

  /** Gives each role an upload, whose id is that of an operation too. */
  async renew(): Promise<void> {
    await Promise.all(
      UPLOADERS.map(async (role) => {
        const stranger = new Stranger(this.world.address(role));
        const target = `${this.world.roles[role]?.home ?? ''}/upload-${role}`;
        await stranger
          .unary('ImageService/StartUpload', { target, format: 'raw', length_bytes: '65536', overwrite: true })
          .then(({ upload_id }) => this.#uploads.set(role, String(upload_id)))
          // The one before is still there, or its name is another thing by now.
          .catch(() => undefined);
        stranger.close();
      }),
    );
  }

  #withIds(each: Case): Buffer {
    const body = bodyOf(each);
    const id = this.#uploads.get(each.role) ?? this.#uploads.get('admin');
    for (const placeholder of Object.values(IDS))
      for (
        let at = body.indexOf(placeholder);
        at >= 0 && id?.length === placeholder.length;
        at = body.indexOf(placeholder)
      )
        body.write(id, at);
    return body;
  }

  async #afterRound(): Promise<void> {
    if (!this.world.lives) {
      this.deaths += 1;
      const suspects = [...this.#flying];
      this.#flying.clear();
      const last = this.world.daemon.log.split('\n').slice(-15).join('\n').slice(-3000);
      this.world.daemon.log = '';
      await this.world.stop();
      await this.world.start();
      this.#note(`the daemon ended ${String(this.deaths)}`, `the daemon ended: ${last}`, await this.#guilty(suspects));
      return;
    }
    this.peak = Math.max(this.peak, this.world.memory().peak);
    for (const left of await this.world.settle())
      this.#note(left.replaceAll(/[0-9A-Z]{26}|\d+/g, 'N').slice(0, 150), left, undefined);
  }

  /** Which of those that were under way ends a daemon all by itself. */
  async #guilty(suspects: readonly Case[]): Promise<Case | undefined> {
    for (const suspect of suspects) {
      await this.one(suspect);
      await sleep(500);
      if (this.world.lives) continue;
      this.#flying.clear();
      await this.world.stop();
      await this.world.start();
      return suspect;
    }
    return undefined;
  }

  #note(kind: string, wrong: string, example: Case | undefined): void {
    const known = this.findings.get(kind);
    if (known === undefined) this.findings.set(kind, { wrong, example, times: 1 });
    else known.times += 1;
  }
}
