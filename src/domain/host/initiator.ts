const KEY = 'InitiatorName=';

/**
 * The name in the text of initiatorname.iscsi: the rest of the first line with exactly this prefix.
 * Undefined if nothing follows it.
 */
export function initiatorName(text: string): string | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(KEY));
  const name = line?.slice(KEY.length).trim();
  return name === '' ? undefined : name;
}
