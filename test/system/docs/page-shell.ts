/** Runs the command blocks of one page, one after the other, in one shell on a host of its own. */
import { join } from 'node:path';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { tryRun } from '../../support/shell.js';
import type { Block } from './blocks.js';

/** What came of a block. */
export interface Outcome {
  readonly output: string;
  /** The exit codes of the commands that failed. */
  readonly failures: readonly string[];
  /** Whether its last command has ended. */
  readonly ended: boolean;
}

const SECONDS = 240;
const BEGIN = '@@begin ';
const FAILED = '@@failed ';
const END = '@@end';

/** A host with empty /srv and /run, and with the programs of the checkout. */
const HOST = `
set -u
ip link set lo up
mount -t tmpfs tmpfs /srv && mount -t tmpfs tmpfs /run
mkdir -p /srv/images /run/hostler
HOME=$(mktemp -d); export HOME
unset XDG_CONFIG_HOME HOSTLER_ADDRESS HOSTLER_CONTEXT
start_daemon() {
  [ ! -S /run/hostler/hostler.sock ] || return 0
  cat >/run/hostler.toml <<'TOML'
state_dir = "/run/hostler/state"
[server]
listen = ["unix:///run/hostler/hostler.sock", "tcp://127.0.0.1:16520"]
loopback_role = "admin"
[[roots]]
path = "/srv/images"
TOML
  hostlerd --config /run/hostler.toml >/run/log 2>&1 &
  disown
  until grep -q SERVING /run/log; do sleep 0.1; kill -0 $! || { cat /run/log; exit 1; }; done
}
`;

/** Runs all of them, also behind one that fails. Needs root. */
export async function runPage(blocks: readonly Block[]): Promise<ReadonlyMap<Block, Outcome>> {
  const script = [HOST, ...blocks.map(wrapped), `printf '\\n${END}\\n'`].join('\n');
  const PATH = [join(ROOT_FOLDER, 'bin'), join(ROOT_FOLDER, '.cache/go/bin'), process.env['PATH'] ?? ''].join(':');
  const spaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const words = [String(SECONDS), 'unshare', ...spaces, 'bash', '-c', `exec 2>&1\n${script}`];
  const { stdout } = await tryRun('timeout', words, { env: { PATH } });
  const [, ...parts] = stdout.split(`\n${BEGIN}`);
  return new Map(blocks.map((block, index) => [block, outcomeOf(parts[index] ?? '')]));
}

/** The commands stand as the page has them, so that `cd` and jobs work as for a reader. */
function wrapped({ line, commands, daemon, setup }: Block): string {
  return [
    daemon ? 'start_daemon' : '',
    setup === '' ? '' : `{ ${setup}; } >/dev/null`,
    `printf '\\n${BEGIN}${String(line)}\\n'`,
    `trap 'printf "\\n${FAILED}%s\\n" $?' ERR`,
    commands,
    'trap - ERR',
    `printf '\\n${END}\\n'`,
  ].join('\n');
}

function outcomeOf(part: string): Outcome {
  const lines = part.split('\n').slice(1);
  const end = lines.indexOf(END);
  const own = end < 0 ? lines : lines.slice(0, end);
  return {
    output: own.filter((line) => line !== '' && !line.startsWith(FAILED)).join('\n'),
    failures: own.filter((line) => line.startsWith(FAILED)).map((line) => line.slice(FAILED.length)),
    ended: end >= 0,
  };
}
