import { REASONS } from '../../src/domain/model/reasons/reasons.js';

const rows = Object.entries(REASONS).map(
  ([reason, { code, meaning, advice, retry }]) => `| \`${reason}\` | ${code} | ${meaning} | ${advice} | ${retry} |`,
);

process.stdout.write(`# Errors

Every failure carries \`google.rpc.ErrorInfo\` with domain \`hostler\`, a reason of this table, and
facts about it (paths, holders, sizes, the end of a tool's output) as metadata. Depending on the
reason there are also \`BadRequest\` (each wrong field), \`RetryInfo\`, \`QuotaFailure\` and
\`ResourceInfo\`. Programs should read the reason, never the message. This file is generated from
\`src/domain/model/reasons/reasons.ts\`.

| reason | code | meaning | what to do | same call again |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`);
