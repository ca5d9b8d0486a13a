import type { Readable, Writable } from 'node:stream';

/** How a child ended; neither is set when the runner no longer waits for it. */
export interface Ended {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** Its processor time, with that of its own children; unset where the host does not tell. */
  readonly cpuSeconds?: number;
}

/** What a child is given; nothing else of the daemon's reaches it. */
export interface StartOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Its descriptors from 3 on. They stay open until the start is over. */
  readonly fds: readonly number[];
  /** Whether it gets a standard input; else it reads nothing. */
  readonly stdin: boolean;
}

/**
 * A child that runs, or has run. Who started it closes its streams and hears their errors; a child
 * that has ended takes no more input.
 */
export interface Started {
  readonly pid: number;
  /** Set when it was given one. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never fails. */
  readonly ended: Promise<Ended>;
  /**
   * Calls when the child has ended, before `ended` tells of it, and before what it printed has been
   * read. To be called in the same turn of the event loop as the start comes back in.
   */
  onExit(listener: () => void): void;
  /** It keeps this process no longer alive. */
  unref(): void;
}

/**
 * Starts a program, by its absolute path, in a session and process group of its own, with every
 * signal as a process has it that nobody changed anything for. Its standard output and error are
 * read by us. Fails with the system's error when it cannot be started.
 */
export type Start = (file: string, args: readonly string[], options: StartOptions) => Promise<Started>;
