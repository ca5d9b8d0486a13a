import { HostlerError } from '../../domain/model/errors.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

/** Limit for the tool's output in a message. */
const MAX_WORDS = 1500;

/** How a tool ended, and its output. */
export interface ToolEnd {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  readonly stderr: string;
  /** The output with the addresses that callers know; unset: the same. */
  readonly shown?: string;
}

/** The error of a failed tool: its output in the message, its exit status in the facts. */
export function toolError(
  tool: string,
  reason: Reason,
  { code, signal, stderr, shown = stderr }: ToolEnd,
): HostlerError {
  const end = code === undefined ? `signal ${signal ?? 'unknown'}` : `exit code ${String(code)}`;
  const words = wordsOf(tool, shown);
  return new HostlerError(reason, `${tool}: ${words === '' ? end : words}`, {
    facts: { tool, end, stderr: words },
    cause: stderr,
  });
}

/** Each sentence once, without the tool's name before it. */
function wordsOf(tool: string, stderr: string): string {
  const name = `${tool}: `;
  const lines = stderr.split('\n').map((line) => {
    let words = line.trim();
    while (words.startsWith(name)) words = words.slice(name.length);
    return words;
  });
  return [...new Set(lines.filter((line) => line !== ''))].join('; ').slice(0, MAX_WORDS);
}
