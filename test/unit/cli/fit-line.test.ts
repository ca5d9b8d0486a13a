/** A progress line and the picture of `hostler top` fit every terminal. */
import assert from 'node:assert/strict';
import { OperationEvent, OperationPhase, OperationState } from '../../../src/gen/hostler/v1/operation.js';
import { FilesystemInfo } from '../../../src/gen/hostler/v1/host_info_service.js';
import { fitLine } from '../../../src/cli/terminal/fit-line.js';
import { TransferProgress } from '../../../src/cli/terminal/transfer-progress.js';
import type { Frame } from '../../../src/cli/terminal/fit-line.js';
import { drawPicture, type Moment } from '../../../src/cli/top/picture.js';
import { QueueWaits } from '../../../src/cli/top/queue-waits.js';

const GIB = 1024n ** 3n;
const WIDTHS = Array.from({ length: 200 }, (_, index) => index + 1);
const frame: Frame = {
  phase: 'converting',
  share: { done: 45, all: 100 },
  amount: '1.2 GiB of 20.0 GiB',
  rate: '310 MiB/s',
  left: '2m 05s',
  note: '',
};

describe('a progress line', () => {
  it('is never as long as the terminal is wide', () => {
    for (const width of WIDTHS)
      for (const each of [frame, { ...frame, note: 'attempt 2 in 5s: '.padEnd(300, 'x') }, { ...frame, left: '' }])
        assert.ok(fitLine(each, width).length <= Math.max(1, width - 1), String(width));
  });

  it('keeps rate and time left where there is little room', () => {
    assert.equal(fitLine(frame, 40), 'converting   45%  310 MiB/s  2m 05s');
    assert.match(fitLine(frame, 60), /^converting {2}\[■+ +\] {3}45% {2}310 MiB\/s {2}2m 05s left$/);
    assert.match(
      fitLine(frame, 80),
      /^converting {2}\[■+ +\] {3}45% {2}1\.2 GiB of 20\.0 GiB {2}310 MiB\/s {2}2m 05s left$/,
    );
    for (const width of WIDTHS.filter((each) => each > 30)) assert.match(fitLine(frame, width), /310 MiB\/s {2}2m 05s/);
  });

  it('of a transfer has the rate of the last seconds, and the time that is left at it', () => {
    const frames: Frame[] = [];
    let now = 0;
    const view = { show: (each: Frame) => frames.push(each), end: () => undefined };
    const progress = new TransferProgress(view, 'uploading', 100n * GIB, () => now);
    for (const done of [40n, 41n, 42n]) {
      progress.reach(done * GIB);
      now += 1000;
    }
    assert.deepEqual(frames.at(-1), {
      phase: 'uploading',
      share: { done: Number(42n * GIB), all: Number(100n * GIB) },
      amount: '42.0 GiB of 100 GiB',
      rate: '1.0 GiB/s',
      left: '58s',
      note: '',
    });
    assert.equal(frames[0]?.rate, '');
  });
});

describe('the wait of an operation in the queue', () => {
  const { OPERATION_STATE_QUEUED: QUEUED, OPERATION_STATE_RUNNING: RUNNING } = OperationState;
  const event = (operationId: string, state: OperationState, seconds: bigint) =>
    OperationEvent.fromPartial({ operationId, state, eventTime: { seconds, nanos: 0 } });

  it('grows until it runs, whether a list or an event told of it first', () => {
    const waits = new QueueWaits();
    waits.list('listed', { seconds: 100n, nanos: 0 }, undefined);
    waits.list('ran', { seconds: 100n, nanos: 0 }, { seconds: 104n, nanos: 500_000_000 });
    waits.follow(event('new', QUEUED, 110n));
    waits.follow(event('new', QUEUED, 115n));
    waits.follow(event('at once', RUNNING, 110n));
    const at = (seconds: number) => ['listed', 'ran', 'new', 'at once'].map((id) => waits.of(id, seconds * 1000));
    assert.deepEqual(at(120), [20_000, 4500, 10_000, 0]);
    for (const id of ['listed', 'new']) waits.follow(event(id, RUNNING, 121n));
    assert.deepEqual(at(130), [21_000, 4500, 11_000, 0]);
    waits.forget('new');
    assert.equal(waits.of('new', 130_000), undefined);
  });
});

describe('the picture of hostler top', () => {
  const operation = (id: string, event: Partial<OperationEvent>) => ({
    id,
    method: 'ConvertImage',
    caller: 'local',
    addresses: ['/srv/images/a-rather-long-name.qcow2', '/srv/images/b.raw'],
    event: OperationEvent.fromPartial({ operationId: id, ...event }),
    waitedMs: 185_400,
  });
  const moment: Moment = {
    address: 'unix:///run/hostler/hostler.sock',
    time: new Date(0),
    ended: { succeeded: 7, failed: 1, cancelled: 2 },
    hint: 'q quits',
    roots: [
      {
        path: '/srv/images',
        problem: '',
        space: FilesystemInfo.fromPartial({
          totalBytes: 100n * GIB,
          freeBytes: 10n * GIB,
          reservedBytes: 5n * GIB,
          overcommittedBytes: 10n * GIB,
        }),
      },
      { path: '/srv/gone', problem: 'ROOT_STALLED', space: undefined },
    ],
    operations: [
      operation('01B', { state: OperationState.OPERATION_STATE_QUEUED, queuePosition: 1 }),
      operation('01C', {
        state: OperationState.OPERATION_STATE_RUNNING,
        phase: OperationPhase.OPERATION_PHASE_CONVERTING,
        progress: {
          doneBytes: 1n * GIB,
          totalBytes: 4n * GIB,
          skippedBytes: 0n,
          doneItems: undefined,
          totalItems: undefined,
          bytesPerSecond: 512n * 1024n * 1024n,
          eta: { seconds: 6n, nanos: 0 },
        },
      }),
    ],
  };

  it('has no line that is as long as the terminal is wide, and no more lines than it has rows', () => {
    for (const width of WIDTHS)
      for (const line of drawPicture(moment, width))
        assert.ok(line.length <= Math.max(1, width - 1), `${String(width)}: ${line}`);
    for (const rows of [1, 5, 8, 50]) assert.ok(drawPicture(moment, 80, rows).length <= rows, String(rows));
  });

  it('shows operations at work first, rates, the queue, space and its pressure', () => {
    const text = drawPicture(moment, 200).join('\n');
    assert.match(
      text,
      /1 running, 1 queued {2}1 root stalled {2}waiting 3m 05s {2}512 MiB\/s {2}7 done, 1 failed, 2 cancelled/,
    );
    assert.match(
      text,
      /01C +ConvertImage +converting +3m 05s +25% +512 MiB\/s +6s +local +\/srv[^\n]*\n01B +ConvertImage +queued, 1\. +3m 05s/,
    );
    assert.match(text, /10\.0 GiB +100 GiB +5\.0 GiB +10\.0 GiB +150% OVER +\/srv\/images/);
    assert.match(text, /PRESSURE +ROOT\n +ROOT_STALLED +\/srv\/gone\n/);
  });

  it('shows how many operations wait, and that a root is stalled, at 40 columns too', () => {
    const text = drawPicture(moment, 40).join('\n');
    assert.match(text, /1 running, 1 queued {2}1 root stalled\n/);
    assert.match(text, /ROOT_STALLED +\/srv/);
  });

  it('keeps method, progress and rate at 40 columns, and leaves out ids and callers', () => {
    const text = drawPicture(moment, 40).join('\n');
    assert.match(text, /ConvertImage.* 25%.*512 MiB\/s/);
    assert.doesNotMatch(text, /01C|local/);
    assert.match(text, /10\.0 GiB.*150% OVER.*\/srv/);
  });
});
