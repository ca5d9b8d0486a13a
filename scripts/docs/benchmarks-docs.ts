/** Prints docs/benchmarks.md: the figures of the bench that were kept, each with its plot. */
import { keptFigures, plotName, type Kept, type Spread } from './plots/kept.js';

const { machine, cases } = keptFigures();

const spread = ({ median, min, max }: Spread, unit: string) =>
  `${String(median)}${unit} (${String(min)} to ${String(max)})`;

function section(each: Kept): string {
  const { name, bar, rounds, figures, ratios, loadAverage, measured, daemon } = each;
  const rows = figures.map(({ contender, wallMs, cpuMs, clientCpuMs }, at) => {
    const ratio = ratios[contender];
    const client = at === 0 ? ` + ${String(clientCpuMs)}` : '';
    return `| ${contender} | ${spread(wallMs, ' ms')} | ${String(cpuMs)}${client} ms | ${ratio === undefined ? '-' : spread(ratio, 'x')} |`;
  });
  return `## ${name}${daemon.state === 'apart' ? '' : `, in a ${daemon.state} daemon`}

${daemonOf(each)}Limit: \`${bar}\`.
${String(rounds)} rounds on ${measured}, load ${String(loadAverage)} at the end.

| contender | time | processor time | ours over theirs, by round |
| --- | --- | --- | --- |
${rows.join('\n')}

![${name}](plots/${plotName(each)})
`;
}

function daemonOf({ daemon: { state, before, residentMib } }: Kept): string {
  if (state === 'apart') return '';
  const { length } = before;
  const past =
    state === 'fresh' ? 'started for this case' : `after ${String(length)} other ${length === 1 ? 'case' : 'cases'}`;
  return `The daemon: ${past}, ${String(residentMib)} MiB. `;
}

process.stdout.write(`# Benchmarks

\`make bench\` (or \`make bench ONLY=copy\`) measures Hostler beside the bare tools. Contenders take
turns in a shuffled order, each after a \`sync\`; results are checked. No test asserts a time. What was
measured by hand, and what was learnt from it: [understand/performance.md](understand/performance.md).

- The bare tools are started by a small process (\`bench/programs/starter.sh\`). A fork from the
  bench, which grows to hundreds of megabytes, would count as theirs.
- Times are medians, with the shortest and the longest in brackets. The bare tools leave their data
  in the page cache unless their name says \`sync\`; ours is on disk when it answers.
- Processor time is the mean of a round: of the daemon and its tools, plus that of the client, or of
  the bare tool. Work of the daemon that goes on after its answer is not in it.
- Each case runs in a daemon that has done the cases before it, and again in one that was started
  for it.
- A ratio is that of one round. Where the load is far above 0, other work ran on the machine, and
  ratios say more than times.

Measured on ${String(machine.processors)} processors, Linux ${machine.kernel}, Node ${machine.node}, qemu-img ${machine.qemu}. This page
is generated from \`bench/kept-results.json\`, which \`make bench-keep\` takes from the last run.

## What is missed, and why

- \`CreateImage\` waits for the disk four times, one after the other: journal (queued), journal beside
  the file, folder, journal (ended). It was five times. The daemon takes 10 ms of processor time
  instead of 13 when it is warm; 6 of them are the main thread, without one place that stands out. In
  turns with the daemon before, at a load of 7 to 10, a call takes 0.62 to 0.76 of the time, and 0.9
  to 1.25 of a bare \`qemu-img create\`, which takes 9 to 10 ms of processor time in all.
- The command takes three to five times the processor time of an empty program on this runtime, the
  start of the daemon more: see [understand/starts.md](understand/starts.md).
- A conversion of 1 MiB takes 2.7 times the processor time of the bare command: the sandbox
  around the tool, and the daemon.

${cases.map(section).join('\n')}`);
