import type { Eraser, ByteRange, Written } from '../../domain/ports/changes.js';
import { HostlerError, unsupported } from '../../domain/model/errors.js';
import type { ProcessRunner } from '../process/process.js';
import { QemuChanger } from '../qemu/qemu-changer.js';
import type { QemuImg } from '../qemu/qemu-img.js';
import { toolReason } from '../linux/tool-words.js';
import { deviceOf } from './device-files.js';
import type { FileRef, Resolved } from '../../domain/ports/handles.js';
import type { Chain, ConvertRequest, ToolRun } from '../../domain/ports/tools.js';

/** Bytes of one blkdiscard call; between calls there is progress, and a cancel takes effect. */
const DISCARD_STEP = 1n << 30n;

/** Writes images onto devices, and never past their end. */
export class DeviceTool {
  constructor(private readonly qemu: QemuImg) {}

  create(): Promise<void> {
    return Promise.reject(unsupported('a device is there already: wipe it to have it empty'));
  }

  /** Writes the whole image, with its holes as zeros: no earlier content may remain. */
  async convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void> {
    const { format, preallocation } = request;
    if (format !== 'raw') throw unsupported(`a device holds raw bytes, not ${format}`);
    if (preallocation !== 'off') throw unsupported('a device has all its space already');
    const { bytes, path, ref } = deviceOf(target);
    const needed = source[0].facts.virtualSizeBytes;
    if (needed > bytes)
      throw new HostlerError('NO_SPACE', `the device has ${String(bytes)} bytes, the image ${String(needed)}`, {
        facts: { path, needed: String(needed), free: String(bytes) },
      });
    await this.qemu.convertOnto(source, ref, { ...request, targetIsZero: false }, tool);
  }
}

/** The content of a device can be changed like that of a file; its size cannot. */
export class DeviceChanger extends QemuChanger {
  override resize({ chain }: Written): Promise<void> {
    return Promise.reject(unsupported(`${chain[0].file.address} is a device: its volume manager resizes it`));
  }
}

/** Wipes devices: zeros are written as for files; blocks are discarded by blkdiscard. */
export class DeviceEraser implements Eraser {
  constructor(
    private readonly runner: ProcessRunner,
    private readonly files: Pick<Eraser, 'zero'>,
  ) {}

  async zero(file: Resolved, data: readonly ByteRange[], tool: ToolRun): Promise<void> {
    await this.files.zero({ ...file, ...deviceOf(file).ref }, data, tool);
  }

  async discard(file: Resolved, tool: ToolRun): Promise<void> {
    const device = deviceOf(file);
    let done = 0n;
    const call = {
      tool: 'blkdiscard',
      args: ['--verbose', '--step', String(DISCARD_STEP), [{ write: device.ref }]],
      trusted: true,
      limits: {},
    };
    const { succeeded, stderr } = await this.runner.lines(call, tool, (line) => {
      done += BigInt(/Discarded (\d+) bytes/.exec(line)?.[1] ?? 0);
      tool.onFraction?.(Number(done) / Number(device.bytes));
    });
    if (succeeded) return;
    const reason = /not supported/.test(stderr)
      ? 'UNSUPPORTED_BY_BACKEND'
      : /busy/.test(stderr)
        ? 'IMAGE_IN_USE'
        : (toolReason(stderr) ?? 'TOOL_FAILED');
    throw new HostlerError(reason, `blkdiscard: ${stderr}`, { facts: { tool: 'blkdiscard', stderr } });
  }
}
