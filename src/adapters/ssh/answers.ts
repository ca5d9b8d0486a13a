/**
 * The answers of scripts on remote hosts, separated from what login shells print before, between
 * and after them.
 */
import type { SshHost } from '../../domain/copy/remote.js';
import { HostlerError } from '../../domain/model/errors.js';

/** Starts an answer on its own line, even if the output before it has no line end. */
export function beginLine(mark: string): string {
  return `printf '\\n%s\\n' ${mark}`;
}

/** The output after the mark. Fails with TOOL_FAILED if the mark is missing. */
export function answerBehind(output: string, mark: string, host: SshHost): string {
  const at = output.lastIndexOf(`\n${mark}\n`);
  if (at === -1) throw unreadable(host, output);
  return output.slice(at + mark.length + 2);
}

/**
 * Bytes from the line that begins with this word: a number and the size of its unit. Fails with
 * TOOL_FAILED.
 */
export function bytesOf(word: string, answer: string, host: SshHost): bigint {
  const [, count, unit] = new RegExp(`^${word} (\\d+) (\\d+)$`, 'm').exec(answer) ?? [];
  if (count === undefined || unit === undefined) throw unreadable(host, answer);
  return BigInt(count) * BigInt(unit);
}

/** The first line may explain it: a menu, a notice that the login is locked. */
export function unreadable({ host }: SshHost, output: string): HostlerError {
  const [first = ''] = output.trim().split('\n');
  const text = `${host}: its answer cannot be read${first === '' ? '' : `: ${JSON.stringify(first.slice(0, 120))}`}`;
  return new HostlerError('TOOL_FAILED', text, { facts: { host, tool: 'ssh' } });
}
