import { Writable } from 'node:stream';
import winston from 'winston';
import { currentWork } from '../../domain/model/current-work.js';
import type { LineLevel } from '../../domain/ports/operation-lines.js';
import type { KeptOperationLines } from './kept-lines.js';
import type { LogSink } from './log-sink.js';

/**
 * Writes one line. A line that belongs to an operation has `operation_id`, and the `request_id` of
 * its call and the `trace_id` of its trace where there is one: those of the work that runs now,
 * unless the facts name others.
 */
export type Log = Readonly<Record<LineLevel, (message: string, facts?: object) => void>>;

/**
 * One JSON object a line, for the journal of the system; without a sink on standard output, for a
 * program that prints and ends. `lines` keeps those of operations, whatever the level is.
 */
export function createLog(level: string, sink?: LogSink, lines?: KeptOperationLines): Log {
  const transport =
    sink === undefined
      ? new winston.transports.Console()
      : new winston.transports.Stream({ eol: '\n', stream: streamInto(sink) });
  const logger = winston.createLogger({
    level,
    format: winston.format.json(),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's types do not name its own base
    transports: [transport],
  });
  const writer = (each: LineLevel) => {
    const isWritten = logger.isLevelEnabled(each);
    return (message: string, given: object = {}) => {
      const facts: Record<string, unknown> = { ...joined(), ...given };
      const id = facts['operation_id'];
      if (typeof id === 'string') lines?.add(id, each, message, { ...given });
      if (isWritten) logger.log({ ...facts, level: each, message, time: new Date().toISOString() });
    };
  };
  return { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') };
}

/**
 * Found when the line is written: winston formats lines later when many come at once, and then
 * something else may be at work.
 */
function joined() {
  const { operationId, requestId, span } = currentWork();
  return {
    ...(operationId === undefined ? {} : { operation_id: operationId }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    ...(span?.context === undefined ? {} : { trace_id: span.context.traceId }),
  };
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
