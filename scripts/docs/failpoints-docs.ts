/**
 * Prints docs/failpoints.md: at which steps of operations a failpoint can act, and which faults can
 * be planted, each from its one table.
 */
import { PLANTED_FAULTS } from '../../src/domain/model/planted-faults.js';
import { STEPS } from '../../src/domain/operations/steps.js';

const rows = Object.entries(STEPS).map(([name, what]) => `| \`${name}\` | ${what} |`);
const faults = Object.entries(PLANTED_FAULTS).map(([name, what]) => `| \`${name}\` | ${what} |`);

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

## Planted faults

Mistakes of the daemon that \`make conformance\` plants one by one, to show that the
[conformance suite](conformance.md) finds each. \`HOSTLER_PLANTED_FAULTS\` in the environment of the
daemon names them, with commas between them. Only a daemon that runs from \`dist/src\` knows the
switch: \`scripts/bundle.sh\` takes it out of what is shipped. The table is generated from
\`src/domain/model/planted-faults.ts\`.

| fault | what the daemon then does |
| --- | --- |
${faults.join('\n')}
`);
