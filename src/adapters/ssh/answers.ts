/** What far scripts answer, apart from what login shells say before, between and behind. */
import type { SshHost } from '../../domain/copy/remote.js';
import { HostlerError } from '../../domain/model/errors.js';

/** Begins an answer, on a line of its own whatever was said before without an end. */
export function beginLine(mark: string): string {
  return `printf '\\n%s\\n' ${mark}`;
}

/** What was said behind the mark. Fails with TOOL_FAILED where there is none. */
export function answerBehind(output: string, mark: string, host: SshHost): string {
  const at = output.lastIndexOf(`\n${mark}\n`);
  if (at === -1) throw unreadable(host, output);
  return output.slice(at + mark.length + 2);
}

/**
 * A number of units of so many bytes, of a line that begins with this word. Fails with TOOL_FAILED.
 */
export function bytesOf(word: string, answer: string, host: SshHost): bigint {
  const [, count, unit] = new RegExp(`^${word} (\\d+) (\\d+)$`, 'm').exec(answer) ?? [];
  if (count === undefined || unit === undefined) throw unreadable(host, answer);
  return BigInt(count) * BigInt(unit);
}

/** Its first line may say why: a menu, a notice that the login is locked. */
export function unreadable({ host }: SshHost, output: string): HostlerError {
  const [first = ''] = output.trim().split('\n');
  const text = `${host}: its answer cannot be read${first === '' ? '' : `: ${JSON.stringify(first.slice(0, 120))}`}`;
  return new HostlerError('TOOL_FAILED', text, { facts: { host, tool: 'ssh' } });
}
