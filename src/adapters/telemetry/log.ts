import { Writable } from 'node:stream';
import winston from 'winston';
import type { LogSink } from './log-sink.js';

export type Log = winston.Logger;

/**
 * One JSON object a line, for the journal of the system; without a sink on standard output, for a
 * program that prints and ends.
 */
export function createLog(level: string, sink?: LogSink): Log {
  const transport =
    sink === undefined
      ? new winston.transports.Console()
      : new winston.transports.Stream({ eol: '\n', stream: streamInto(sink) });
  return winston.createLogger({
    level,
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's types do not name its own base
    transports: [transport],
  });
}

/** Never full, and never failing: that is what the sink is for. */
function streamInto(sink: LogSink): Writable {
  return new Writable({
    decodeStrings: false,
    write: (line: unknown, _, done) => {
      sink.write(String(line));
      done();
    },
  });
}

/** An error with its causes, for the log; unset where there is none. */
export function errorText(error: unknown): string | undefined {
  return error === undefined ? undefined : textOf(error);
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${textOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
