/** How one metric is described. */

/**
 * Labels, and what stands in them. Callers, paths of images and messages are none: they have no
 * end.
 */
export const LABELS = {
  verb: 'The name of an operation, as `method` of the API has it.',
  engine:
    'How it was done: the engine of a copy, the method of a change, `download` or `cache` for a fetch; `none` where there is only one way, and for operations that did not succeed.',
  result: '`OK`, or the gRPC code of the failure by its name.',
  reason: 'A reason of the [table of reasons](../errors.md).',
  slot: 'What an operation takes up while it runs: `io`, `none`, `open`, `upload`, `export`; `plan` for plans.',
  rpc: 'Service and method.',
  code: '`OK`, or the gRPC code of the answer by its name.',
  kind: 'Why it was refused.',
  root: '`path` of a `[[roots]]` of the configuration.',
  pool: '`name` of a `[[pools]]` of the configuration.',
  tool: 'The program; `command` for a configured command, `other` for one that is not listed here.',
  outcome: '`succeeded`, `failed`, or `ended`: the daemon ended it, because it was cancelled or beyond a limit.',
  event: '`hit`, or `miss` when the image had to be fetched first.',
  certificate: '`own`, or `ca`: the one that expires first in `tls.cert` or `tls.ca`.',
  version: 'Of the daemon.',
  contract: 'Version of the API.',
  node: 'Version of the runtime.',
  sandbox: 'What stands between a tool and the host.',
} as const;
export type Label = keyof typeof LABELS;

interface Row<Kind extends string, Names extends readonly Label[]> {
  readonly kind: Kind;
  readonly help: string;
  readonly labels: Names;
}

/** Of something that only grows while the daemon lives. */
export type CounterRow = Row<'counter', readonly Label[]>;
/** Of something that goes up and down. */
export type GaugeRow = Row<'gauge', readonly Label[]>;
/** Of durations, in seconds; `buckets` are their upper bounds. */
export type HistogramRow = Row<'histogram', readonly Label[]> & { readonly buckets: readonly number[] };
export type MetricRow = CounterRow | GaugeRow | HistogramRow;

/** A row of the table of metrics. */
export function counter<const Names extends readonly Label[]>(help: string, ...labels: Names): Row<'counter', Names> {
  return { kind: 'counter', help, labels };
}

/** A row of the table of metrics. */
export function gauge<const Names extends readonly Label[]>(help: string, ...labels: Names): Row<'gauge', Names> {
  return { kind: 'gauge', help, labels };
}

/** A row of the table of metrics. */
export function histogram<const Names extends readonly Label[]>(
  help: string,
  buckets: readonly number[],
  ...labels: Names
): Row<'histogram', Names> & { readonly buckets: readonly number[] } {
  return { kind: 'histogram', help, labels, buckets };
}
