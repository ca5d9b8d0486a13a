/** Prints docs/failpoints.md: at which steps of operations a failpoint can act, from the one table. */
import { STEPS } from '../../src/domain/operations/steps.js';

const rows = Object.entries(STEPS).map(([name, what]) => `| \`${name}\` | ${what} |`);

process.stdout.write(`# Failpoints

For tests only: \`[debug] failpoints = ["METHOD:STEP:ACTION", …]\`. METHOD is an RPC's name,
\`FillCache\` or \`FillBase\` (the operations that fetch into the cache or into a pool), or \`*\`.
ACTION is \`kill\` (SIGKILL to the daemon), \`pause\` (until the daemon gets SIGUSR2; the log says
\`paused\`), \`throw\` (an exception that no code catches; the operation continues), or an error:
\`IO_ERROR\`, \`NO_SPACE\`, \`ACCESS_DENIED\`.

STEP is one of the steps below. Each comes before the action in its row. The rows are in about the
order in which operations go through them; no operation has all steps. This file is generated from
\`src/domain/operations/steps.ts\`.

| step | what happens next |
| --- | --- |
${rows.join('\n')}
`);
