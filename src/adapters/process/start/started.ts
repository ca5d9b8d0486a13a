import type { Readable, Writable } from 'node:stream';

/** How a child ended; neither is set when the runner no longer waits for it. */
export interface Ended {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  /** Processor time of the child and its own children; unset if the host does not report it. */
  readonly cpuSeconds?: number;
}

/** What a child is given; it inherits nothing else from the daemon. */
export interface StartOptions {
  readonly env: Readonly<Record<string, string>>;
  /** Its descriptors from 3 on. They must stay open until the start is over. */
  readonly fds: readonly number[];
  /** Whether it gets a standard input; otherwise its input is empty. */
  readonly stdin: boolean;
}

/**
 * A child that runs, or has ended. The caller that started it closes its streams and handles their
 * errors; a child that has ended takes no more input.
 */
export interface Started {
  readonly pid: number;
  /** Set if the child was given an input. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Never rejects. */
  readonly ended: Promise<Ended>;
  /**
   * The listener is called when the child has ended, before `ended` resolves and before its output
   * has been read. Register it in the same turn of the event loop in which the start resolves.
   */
  onExit(listener: () => void): void;
  /** The child no longer keeps this process alive. */
  unref(): void;
}

/**
 * Starts a program, by its absolute path, in its own session and process group, with default
 * actions for all signals. Its standard output and error are read by the daemon. Fails with the
 * system's error if it cannot be started.
 */
export type Start = (file: string, args: readonly string[], options: StartOptions) => Promise<Started>;
