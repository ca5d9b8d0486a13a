import { Command } from 'commander';
import {
  GetOperationLogResponse,
  type GetOperationLogResponse as Answer,
  type OperationLogLine,
} from '../../gen/hostler/v1/operation_service.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { timeText } from '../../protocol/times.js';
import { printable } from '../text.js';

/** `hostler ops log`: the daemon's log lines about one operation. */
export function logCommand(context: Context): Command {
  return new Command('log')
    .description("what the daemon's log says of one operation: its steps, its tools, how it ended")
    .argument('<id>')
    .action((operationId: string) =>
      context.use(async (connection) => {
        const answer = await ask<Answer>((done) => connection.operations.getOperationLog({ operationId }, done));
        context.print(GetOperationLogResponse, answer, logText(answer));
      }),
    );
}

function logText({ lines, partial }: Answer): string {
  const missing = partial ? [lines.length === 0 ? NOTHING : 'the log had more lines than these'] : [];
  return [...lines.map(lineText), ...missing].join('\n');
}

const NOTHING = 'no lines: the daemon keeps those of its newest operations, since its last start';

function lineText({ time, level, message, facts }: OperationLogLine): string {
  const words = Object.entries(facts).map(([name, value]) => `${name}=${/[\s"]/.test(value) ? quoted(value) : value}`);
  return printable([timeText(time), level.padEnd(5), message, ...words].join(' '));
}

function quoted(text: string): string {
  return text.startsWith('[') || text.startsWith('{') ? text : JSON.stringify(text);
}
