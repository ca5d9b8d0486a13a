/** What the command draws on terminals of several widths, in a pipe, and on a dumb terminal. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { HOSTLER, suiteDaemon } from '../../support/daemon.js';
import { noise } from '../../support/images/disks.js';
import { installed, needs } from '../../support/needs.js';
import { scratchFolder } from '../../support/scratch.js';
import { tryRun } from '../../support/shell.js';

const MIB = 1024 * 1024;
const SHOW_CURSOR = '\u001B[?25h';
const LEAVE_SCREEN = '\u001B[?1049l';
const WIDTHS = [40, 60, 80, 200];
/** What a terminal obeys and does not show. */
// eslint-disable-next-line no-control-regex -- it is about control characters
const CONTROLS = /\u001B(?:\[[0-9;?]*[A-Za-z]|[78])/g;

describe('on a terminal', () => {
  const scratch = scratchFolder();
  const daemon = suiteDaemon(scratch);
  const image = (name: string) => daemon.get().image(name);
  const words = (...more: string[]) => ['--address', daemon.get().address, ...more];
  const convert = (name: string) =>
    words('image', 'convert', image('noise.raw'), image(name), '-f', 'raw', '-O', 'qcow2', '--bandwidth', '8M');

  before(async function () {
    needs(this, installed('script'), 'script(1) is not installed');
    await writeFile(image('noise.raw'), noise(24 * MIB));
  });

  /** Runs the command on a terminal of its own. */
  async function onTerminal(columns: number, args: readonly string[], { env = {}, input = '' } = {}) {
    const command = `stty cols ${String(columns)} rows 24; exec ${HOSTLER} ${args.join(' ')}`;
    const clean = { TERM: 'xterm', NO_COLOR: undefined, ...env };
    return tryRun('script', ['-qec', command, '/dev/null'], { env: clean, input });
  }

  /** What stood in the line, each time it was drawn. */
  const framesOf = (output: string) =>
    output
      // eslint-disable-next-line no-control-regex -- it is about control characters
      .split(/\r|\n|\u001B\[1G|\u001B\[2K|\u001B\[\d+;\d+H/)
      .map((frame) => frame.replaceAll(CONTROLS, ''))
      .filter((frame) => frame.trim() !== '');

  for (const columns of WIDTHS)
    it(`the bar of an operation fits ${String(columns)} columns, with rate and time left`, async () => {
      const { code, stdout } = await onTerminal(columns, convert(`bar-${String(columns)}.qcow2`));
      assert.equal(code, 0, stdout);
      const bars = framesOf(stdout).filter((frame) => /\d%/.test(frame));
      assert.ok(bars.length > 1, stdout);
      for (const bar of bars) assert.ok(bar.length < columns, bar);
      assert.ok(
        bars.some((bar) => /\d MiB\/s {2}\d+s/.test(bar)),
        bars.join('\n'),
      );
      if (columns >= 60)
        assert.ok(
          bars.some((bar) => /\[■.*\d MiB\/s {2}\d+s left/.test(bar)),
          bars.join('\n'),
        );
      assert.ok(stdout.lastIndexOf(SHOW_CURSOR) > stdout.lastIndexOf('\u001B[?25l'), 'the cursor is hidden');
    });

  it('uploads and downloads have a bar too, at 60 columns with rate and time left', async () => {
    const upload = words('image', 'upload', image('noise.raw'), image('up.raw'), '-f', 'raw', '--bandwidth', '8M');
    const download = words('image', 'download', image('noise.raw'), scratch.path('down.raw'), '--bandwidth', '8M');
    for (const [phase, args] of Object.entries({ uploading: upload, downloading: download })) {
      const { code, stdout } = await onTerminal(60, args);
      assert.equal(code, 0, stdout);
      const bars = framesOf(stdout).filter((frame) => frame.startsWith(phase));
      for (const bar of bars) assert.ok(bar.length < 60, bar);
      assert.ok(
        bars.some((bar) => /\d+%.*\d MiB\/s {2}\d+s left/.test(bar)),
        stdout,
      );
    }
  });

  it('a dumb terminal and a pipe get plain lines, a few of them', async () => {
    const dumb = await onTerminal(60, convert('dumb.qcow2'), { env: { TERM: 'dumb' } });
    const { stderr } = await tryRun(HOSTLER, convert('pipe.qcow2'));
    for (const said of [dumb.stdout, stderr]) {
      assert.ok(!said.includes('\u001B'), JSON.stringify(said));
      const lines = said.split('\n').filter((line) => line.startsWith('converting'));
      assert.ok(lines.length >= 1 && lines.length <= 3, said);
    }
  });

  it('nothing has a colour', async () => {
    for (const env of [{}, { NO_COLOR: '1' }]) {
      const { stdout } = await onTerminal(80, words('host', 'info'), { env });
      // eslint-disable-next-line no-control-regex -- it is about control characters
      assert.doesNotMatch(stdout, /\u001B\[[0-9;]*m/);
    }
  });

  describe('hostler top', () => {
    let id = '';
    before(async () => {
      const slow = ['-f', 'raw', '-O', 'qcow2', '--bandwidth', '64K', '--detach'];
      const { stdout } = await tryRun(
        HOSTLER,
        words('image', 'convert', image('noise.raw'), image('slow.qcow2'), ...slow),
      );
      id = stdout.trim();
    });
    after(async () => {
      await tryRun(HOSTLER, words('ops', 'cancel', id));
    });

    for (const columns of WIDTHS)
      it(`fits ${String(columns)} columns, ends at q and gives the terminal back`, async () => {
        const { code, stdout } = await onTerminal(columns, words('top'), { input: 'q' });
        assert.equal(code, 0, stdout);
        const lines = framesOf(stdout);
        for (const line of lines) assert.ok(line.length < columns, line);
        assert.ok(
          lines.some((line) => line.includes('ConvertImage')),
          stdout,
        );
        assert.ok(
          lines.some((line) => line.includes('1 running, 0 queued')),
          stdout,
        );
        assert.ok(stdout.trimEnd().endsWith(LEAVE_SCREEN), JSON.stringify(stdout.slice(-200)));
      });

    it('gives the terminal back when a signal ends it', async () => {
      const command = `stty cols 80 rows 24; echo pid=$$.; exec ${HOSTLER} ${words('top').join(' ')}`;
      const child = spawn('script', ['-qec', command, '/dev/null'], {
        env: { ...process.env, TERM: 'xterm' },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let [stdout, pid] = ['', 0];
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
        const [, found] = /pid=(\d+)\.[^]*ConvertImage/.exec(stdout) ?? [];
        if (found === undefined || pid > 0) return;
        pid = Number(found);
        process.kill(pid, 'SIGTERM');
      });
      const code = await new Promise((resolve) => child.once('close', resolve));
      assert.equal(code, 143, stdout);
      assert.ok(stdout.trimEnd().endsWith(LEAVE_SCREEN), JSON.stringify(stdout.slice(-200)));
    });

    it('prints one picture in a pipe, and on a dumb terminal', async () => {
      const { code, stdout } = await tryRun(HOSTLER, words('top'));
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`${id} +ConvertImage +\\S+ +\\d+% `));
      assert.match(stdout, /PRESSURE +ROOT\n[^\n]+images\n/);
      const dumb = await onTerminal(80, words('top'), { env: { TERM: 'dumb' } });
      assert.equal(dumb.code, 0);
      for (const said of [stdout, dumb.stdout]) assert.ok(!said.includes('\u001B'), said);
    });
  });
});
