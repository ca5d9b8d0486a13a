/**
 * The share of one caller in a common limit: this part of it, at least one, and never all of it
 * unless the part is 1.
 */
export function shareOf(limit: number, part: number): number {
  if (part >= 1) return limit;
  return Math.max(1, Math.min(limit - 1, Math.ceil(limit * part)));
}
