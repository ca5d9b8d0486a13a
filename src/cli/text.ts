/** Numbers, tables and trees for people. */
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** `1.5 GiB`. */
export function bytes(value: bigint | number): string {
  let amount = Number(value);
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : 1;
  return `${amount.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** `1.5 GiB (1610612736 bytes)`. */
export function exactBytes(value: bigint): string {
  return value < 1024n ? `${String(value)} bytes` : `${bytes(value)} (${String(value)} bytes)`;
}

/** `2m 05s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${String(whole)}s`;
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const pad = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${String(hours)}h ${pad(minutes)}m` : `${String(minutes)}m ${pad(rest)}s`;
}

/** Names and values, the names aligned; undefined values are left out. */
export function listing(entries: readonly (readonly [string, string | undefined])[]): string {
  const given = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`).join('\n');
}

/** What the last column of a table needs at least of a terminal's line; its rest is wrapped. */
const MIN_LAST = 8;
const GAP = '  ';

/**
 * Rows under a header, columns aligned. Where the terminal's lines are too short for that, columns
 * without a value are left out; if that does not help, each row is a list of names and values. In a
 * pipe lines have any length.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns = process.stdout.isTTY ? process.stdout.columns : Infinity,
): string {
  const whole = linesOf(header, rows);
  if (whole.needed <= columns || rows.length === 0) return whole.text;
  const used = header.map((_, column) => rows.some((row) => (row[column] ?? '') !== ''));
  const cut = (row: readonly string[]) => row.filter((_, column) => used[column]);
  const shorter = linesOf(cut(header), rows.map(cut));
  if (shorter.needed <= columns) return shorter.text;
  const entries = (row: readonly string[]) =>
    header.map((name, column) => [name.toLowerCase(), row[column] === '' ? undefined : row[column]] as const);
  return rows.map((row) => listing(entries(row))).join('\n\n');
}

/** The lines of a table, and how long a terminal's line must be for them. */
function linesOf(header: readonly string[], rows: readonly (readonly string[])[]) {
  const cells = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(GAP));
  const last = Math.min(widths.at(-1) ?? 0, MIN_LAST);
  const needed = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP.length, last);
  return { text: lines.map((line) => line.trimEnd()).join('\n'), needed };
}

/** A name may contain control characters, which a terminal must not interpret. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
