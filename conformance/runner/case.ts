/** A case: one behaviour that every agent has, and how to see it. */
import type { Bench } from '../bench/bench.js';
import type { World } from '../bench/world.js';

/** Something that not every host, agent or caller has. */
export interface Need {
  /** In the list of cases: `a filesystem with reflink`. */
  readonly name: string;
  /** Why the case cannot run here; undefined: it can. */
  readonly missing: (world: World) => string | undefined;
}

export interface Case {
  /** One sentence; unique. */
  readonly name: string;
  readonly subject: string;
  readonly needs: readonly Need[];
  /** No other case may run meanwhile. */
  readonly alone: boolean;
  /** Fails when the agent behaves in another way. */
  readonly run: (at: Bench) => Promise<void>;
}

/** A case before it has its subject. */
export interface Behaviour {
  readonly name: string;
  readonly needs?: readonly Need[];
  readonly alone?: boolean;
  readonly run: (at: Bench) => Promise<void>;
}

/** The cases of one subject. */
export function about(subject: string, behaviours: readonly Behaviour[]): Case[] {
  return behaviours.map(({ name, needs = [], alone = false, run }) => ({ name, subject, needs, alone, run }));
}
