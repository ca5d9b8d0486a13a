import winston from 'winston';

export type Log = winston.Logger;

/** One JSON object a line on standard output, for the journal of the system. */
export function createLog(level: string): Log {
  return winston.createLogger({
    level,
    format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston's types do not name its own base
    transports: [new winston.transports.Console()],
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
