import { constants } from 'node:fs';
import { emptyImage } from '../../domain/formats/empty/empty-image.js';
import type { EmptyImage } from '../../domain/formats/empty/empty-qcow2.js';
import { HostlerError } from '../../domain/model/errors.js';
import type { FileRef } from '../../domain/ports/handles.js';
import type { Chain, ConvertRequest, CreateRequest, ToolRun } from '../../domain/ports/tools.js';
import { GuardedFile } from '../files/guarded-file.js';
import type { QemuImg } from './qemu-img.js';

const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;
const NEW_FILE_MODE = 0o600;
/**
 * The size that qemu-img asks for as well: random writes of a guest then fragment its disk less.
 */
const EXTENT_BYTES = 1 << 20;
/** As many as an image has that is not large. */
const CALLS_AT_ONCE = 4;
/** Node cannot set a greater file length. */
const MAX_LENGTH_BYTES = BigInt(Number.MAX_SAFE_INTEGER);

/** Creates images in files: empty ones by itself, the others with qemu-img. */
export class FileTool {
  constructor(private readonly qemu: QemuImg) {}

  async create(target: FileRef, request: CreateRequest, tool: ToolRun): Promise<void> {
    const image = emptyImage(request);
    if (image === undefined || image.lengthBytes > MAX_LENGTH_BYTES) await this.qemu.create(target, request, tool);
    else await write(target, image, tool.signal);
  }

  convert(source: Chain, target: FileRef, request: ConvertRequest, tool: ToolRun): Promise<void> {
    return this.qemu.convert(source, target, request, tool);
  }
}

/** After a failure the file is removed together with its private folder. */
async function write(target: FileRef, { lengthBytes, pieces }: EmptyImage, signal: AbortSignal): Promise<void> {
  const { address } = target;
  if (address === undefined) throw new HostlerError('BUG', 'a file is to be made that has no name');
  signal.throwIfAborted();
  const file = await GuardedFile.make(target, address, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, NEW_FILE_MODE);
  try {
    await file.hintExtents(EXTENT_BYTES);
    // In any order: all pieces are within this length.
    const calls = [
      () => file.endAt(lengthBytes),
      ...pieces.map(
        ({ bytes, offsetBytes }) =>
          () =>
            file.write(bytes, BigInt(offsetBytes)),
      ),
    ];
    for (let done = 0; done < calls.length; done += CALLS_AT_ONCE) {
      signal.throwIfAborted();
      await Promise.all(calls.slice(done, done + CALLS_AT_ONCE).map((call) => call()));
    }
    signal.throwIfAborted();
  } finally {
    await file.close();
  }
}
