/** Prints docs/reference/metrics.md: every metric and label, from the table of metrics. */
import { LABELS, type MetricRow } from '../../../src/adapters/telemetry/metrics/metric-row.js';
import { METRIC_GROUPS, NODE_METRICS } from '../../../src/adapters/telemetry/metrics/metric-table.js';

function line(name: string, { kind, help, labels }: MetricRow): string {
  const by = labels.map((label) => `\`${label}\``).join(', ');
  return `| \`${name}\` | ${kind} | ${by} | ${help.replaceAll('|', String.raw`\|`)} |`;
}

const tables: readonly (readonly [string, Readonly<Record<string, MetricRow>>])[] = Object.entries(METRIC_GROUPS);
const groups = tables.map(([title, rows]) => {
  const lines = Object.entries(rows).map(([name, row]) => line(name, row));
  return `## ${title}\n\n| metric | kind | labels | what it says |\n| --- | --- | --- | --- |\n${lines.join('\n')}\n`;
});
const labels = Object.entries(LABELS).map(([label, meaning]) => `| \`${label}\` | ${meaning} |`);
const node = Object.entries(NODE_METRICS).map(([name, meaning]) => `| \`${name}\` | ${meaning} |`);

process.stdout.write(`# Metrics and health

\`server.http\` (\`http://127.0.0.1:16521\` by default) serves

- \`/metrics\` for Prometheus: the metrics below and those of Node;
- \`/healthz\`: the process is alive;
- \`/readyz\`: it accepts calls.

The gRPC health service says the same as \`/readyz\`. [operate/monitoring.md](../operate/monitoring.md)
shows how to scrape the daemon, and describes the dashboard and the alert rules that come with it.

Seconds and bytes are the units. Codes and reasons are names. A series that can come exists at 0
from the start, so that \`rate\` and \`increase\` see the first time too; histograms have only the
series of successes from the start. A scrape waits for nothing: figures of roots and pools are those
of the last look, which the scrape before began. The number of series depends on the configured
roots and pools, and on nothing that callers send. This file is generated from
\`src/adapters/telemetry/metrics/metric-table.ts\`.

${groups.join('\n')}
## Of Node

Among others, from prom-client:

| metric | what it says |
| --- | --- |
${node.join('\n')}

## Labels

| label | what stands in it |
| --- | --- |
${labels.join('\n')}
`);
