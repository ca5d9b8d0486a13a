const KEY = 'InitiatorName=';

/**
 * The name in the text of initiatorname.iscsi: what follows the first line that begins exactly so.
 * Undefined where nothing follows.
 */
export function initiatorName(text: string): string | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(KEY));
  const name = line?.slice(KEY.length).trim();
  return name === '' ? undefined : name;
}
