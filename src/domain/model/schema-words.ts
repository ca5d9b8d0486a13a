import type * as z from 'zod';

type RawIssue = Parameters<z.core.$ZodErrorMap>[0];

/**
 * The error of a schema in plain words, for the author of the value: a caller, or the author of a
 * configuration.
 */
export function schemaWords(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is required' : `must be ${kindOf(issue.expected)}`;
    case 'too_small':
      return `must ${amount(issue.origin, `at least ${String(issue.minimum)}`)}`;
    case 'too_big':
      return `must ${amount(issue.origin, `at most ${String(issue.maximum)}`)}`;
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
    case 'invalid_format':
      return 'does not have the form that it needs';
    case 'unrecognized_keys':
      return `unknown: ${issue.keys.join(', ')}`;
    case 'invalid_union':
      return issue.input === undefined ? 'is required' : 'has none of the forms that are known';
    case 'custom':
    case 'invalid_element':
    case 'invalid_key':
    case 'not_multiple_of':
      return undefined;
  }
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  bigint: 'a whole number',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'a table of values',
  record: 'a table of values',
  string: 'a text',
};

function kindOf(expected: string): string {
  return KINDS[expected] ?? expected;
}

function amount(origin: string, limit: string): string {
  if (origin === 'string') return `have ${limit} characters`;
  return origin === 'array' || origin === 'set' ? `have ${limit} entries` : `be ${limit}`;
}
