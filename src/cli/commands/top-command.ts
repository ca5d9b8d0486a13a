import { Command } from 'commander';
import type { Duration } from '../../gen/google/protobuf/duration.js';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';
import { seconds } from '../options.js';
import { canMoveCursor } from '../terminal/progress-view.js';
import { LiveHost } from '../top/live.js';
import { drawPicture } from '../top/picture.js';
import { Screen } from '../top/screen.js';

const INTERVAL_MS = 2000;
const MIN_INTERVAL_MS = 200;
/** Changes come in bursts: the minimum interval of redrawing. */
const REDRAW_MS = 200;
/** A pipe has no width to fit. */
const PIPE_COLUMNS = 200;

interface Flags {
  readonly once?: true;
  readonly interval?: Duration;
}

/** `hostler top`: the current state of the host, redrawn on changes. */
export function topCommand(context: Context): Command {
  return new Command('top')
    .description('what runs and waits on the host, how fast, and how much space is left; q leaves it')
    .option('--once', 'one picture, then end; the same as in a pipe')
    .option('--interval <seconds>', 'seconds between two looks at the space; 2 by default', seconds)
    .action(({ once, interval }: Flags) =>
      context.use(async (connection) => {
        if (context.json) throw new UsageError('top is for people; `hostler --json ops watch` is for programs');
        const ms = interval === undefined ? INTERVAL_MS : Number(interval.seconds) * 1000 + interval.nanos / 1e6;
        const live = new LiveHost(connection);
        await live.read();
        if (once === true || !canMoveCursor(process.stdout)) printOnce(live);
        else await keepDrawing(live, Math.max(MIN_INTERVAL_MS, ms));
      }),
    );
}

function printOnce(live: LiveHost): void {
  const columns = process.stdout.isTTY ? process.stdout.columns : PIPE_COLUMNS;
  process.stdout.write(`${drawPicture(live.moment(new Date(), ''), columns).join('\n')}\n`);
}

/** Runs until the user leaves; if the daemon disconnects, fails with the connection's error. */
async function keepDrawing(live: LiveHost, intervalMs: number): Promise<void> {
  using screen = new Screen(process.stdout, process.stdin);
  const draw = () => {
    screen.show((columns, rows) => drawPicture(live.moment(new Date(), 'q quits'), columns, rows));
  };
  let pending: NodeJS.Timeout | undefined;
  let looking: NodeJS.Timeout | undefined;
  const soon = () => {
    pending ??= setTimeout(() => {
      pending = undefined;
      draw();
    }, REDRAW_MS);
  };
  const spaceFails = new Promise<never>((__, reject) => {
    const look = () => {
      live.readSpace().then(() => {
        soon();
        looking = setTimeout(look, intervalMs);
      }, reject);
    };
    looking = setTimeout(look, intervalMs);
  });
  process.stdout.on('resize', soon);
  try {
    draw();
    await Promise.race([screen.quit(), live.watch(soon), spaceFails]);
  } finally {
    live.stop();
    process.stdout.off('resize', soon);
    clearTimeout(pending);
    clearTimeout(looking);
  }
}
