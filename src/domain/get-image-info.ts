import type { ImageAddress } from './address.js';
import { describeImage } from './describe-image.js';
import type { ImageFormat } from './image-format.js';
import type { ImageInfo } from './image-info.js';
import type { Handle, ImageLocks, Paths } from './ports.js';
import type { ImageReader } from './read-image.js';

export interface InfoPorts {
  readonly paths: Paths;
  readonly reader: ImageReader;
  readonly imageLocks: ImageLocks;
}

export interface InfoSpec {
  readonly address: ImageAddress;
  /** Undeclared: detected. */
  readonly format?: ImageFormat;
  /** Only with a format. */
  readonly backingChain: boolean;
}

/** What an image is, and, when asked, every layer below it, nearest first. */
export async function getImageInfo(
  { address, format, backingChain }: InfoSpec,
  ports: InfoPorts,
): Promise<readonly [ImageInfo, ...ImageInfo[]]> {
  const { paths, reader, imageLocks } = ports;
  const opened: Handle[] = [];
  try {
    if (format !== undefined && backingChain) {
      const [top, ...below] = await reader.chain(address, format);
      opened.push(...[top, ...below].map(({ file }) => file.handle));
      return [
        await describeImage(top.file, top.facts, imageLocks),
        ...(await Promise.all(below.map(({ file, facts }) => describeImage(file, facts, imageLocks)))),
      ];
    }
    const file = await paths.source(address);
    opened.push(file.handle);
    return [await describeImage(file, await reader.facts(file, format), imageLocks)];
  } finally {
    await Promise.all(opened.map((handle) => handle.close()));
  }
}
