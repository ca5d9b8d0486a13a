import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Eraser, ByteRange } from '../../domain/ports/changes.js';
import { HostlerError } from '../../domain/model/errors.js';
import { systemError } from '../linux/errno.js';
import { asked, moving, slowly } from '../gates/handles.js';
import type { ProcessRunner } from '../process/process.js';
import { toolReason } from '../linux/tool-words.js';
import { procPath } from '../linux/proc-path.js';
import type { Resolved } from '../../domain/ports/handles.js';
import type { ToolRun } from '../../domain/ports/tools.js';

/** Bytes of one write. The signal is checked between writes. */
const PIECE_BYTES = 8 << 20;

/** Wipes files: data becomes zeros; holes already read as zeros and stay holes. */
export class FileEraser implements Eraser {
  constructor(private readonly runner: ProcessRunner) {}

  async zero(
    file: Resolved,
    data: readonly ByteRange[],
    tool: ToolRun,
    before?: (offsetBytes: bigint, lengthBytes: bigint) => Promise<void>,
  ): Promise<void> {
    const total = Number(data.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0n));
    const zeros = Buffer.alloc(PIECE_BYTES);
    let done = 0;
    try {
      const { handle } = file;
      const target = await asked(
        handle,
        () => open(procPath(file), constants.O_WRONLY | constants.O_NONBLOCK),
        (late) => late.close(),
      );
      try {
        for (const { offsetBytes, lengthBytes } of data)
          for (let at = 0; at < Number(lengthBytes);) {
            tool.signal.throwIfAborted();
            const length = Math.min(PIECE_BYTES, Number(lengthBytes) - at);
            const position = Number(offsetBytes) + at;
            await before?.(BigInt(position), BigInt(length));
            const { bytesWritten } = await moving(handle, () => target.write(zeros, 0, length, position));
            at += bytesWritten;
            done += bytesWritten;
            tool.onFraction?.(done / total);
          }
      } finally {
        await slowly(handle, () => target.close());
      }
    } catch (error) {
      tool.signal.throwIfAborted();
      throw systemError(error, file.address);
    }
  }

  async discard(file: Resolved, tool: ToolRun): Promise<void> {
    const args = ['--punch-hole', '--offset', '0', '--length', String(file.lengthBytes), [{ write: file }]];
    const { succeeded, stderr } = await this.runner.run({ tool: 'fallocate', args, trusted: true, limits: {} }, tool);
    if (succeeded) return;
    const reason = /Operation not supported/.test(stderr)
      ? 'UNSUPPORTED_BY_BACKEND'
      : (toolReason(stderr) ?? 'TOOL_FAILED');
    throw new HostlerError(reason, `fallocate: ${stderr}`, { facts: { tool: 'fallocate', stderr } });
  }
}
