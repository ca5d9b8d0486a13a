import type { ImageAddress } from '../model/address.js';
import { describeImage } from '../images/describe-image.js';
import { filesOf } from '../images/extents.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts, ImageInfo } from '../model/image-info.js';
import type { TouchedImages } from '../operations/recovery/touched.js';
import type { ImageLocks } from '../ports/images.js';
import type { ImageReader } from '../images/read-image.js';
import type { Handle, Resolved } from '../ports/handles.js';
import type { Paths, SharedFolders } from '../ports/paths.js';
import type { KnownBases } from '../images/known-bases.js';

export interface InfoPorts {
  readonly paths: Paths;
  /** It may show what a header said before, of a file that has not changed. */
  readonly infoReader: ImageReader;
  readonly imageLocks: ImageLocks;
  readonly touched: TouchedImages;
  /** For one call. */
  readonly shareFolders: () => SharedFolders;
}

export interface InfoSpec {
  readonly address: ImageAddress;
  /** Undeclared: detected. */
  readonly format?: ImageFormat;
  /** Only with a format. */
  readonly backingChain: boolean;
}

/** What the lookups of one call share, so that nothing is read twice within a moment. */
export interface SharedLooks {
  readonly folders: SharedFolders;
  readonly bases?: KnownBases;
}

type Infos = readonly [ImageInfo, ...ImageInfo[]];

/** The facts of an image and, if requested, of every layer below it, nearest first. */
export async function getImageInfo(spec: InfoSpec, ports: InfoPorts, shared?: SharedLooks): Promise<Infos> {
  if (shared !== undefined || !spec.backingChain) return look(spec, ports, shared);
  // The layers of a chain often lie in one folder.
  const folders = ports.shareFolders();
  try {
    return await look(spec, ports, { folders });
  } finally {
    await folders.close();
  }
}

async function look(
  { address, format, backingChain }: InfoSpec,
  ports: InfoPorts,
  shared: SharedLooks | undefined,
): Promise<Infos> {
  const { paths, infoReader: reader } = ports;
  const opened: Handle[] = [];
  try {
    const file = await paths.source(address, undefined, shared?.folders);
    // Files that an untrusted image names are not looked up.
    if (format !== undefined && backingChain && file.trusted) {
      let known: readonly ImageInfo[] | undefined;
      const isKnown = (...until: Parameters<KnownBases['below']>) => {
        known = shared?.bases?.below(...until);
        return known !== undefined;
      };
      const [top, ...layers] = await reader.follow(file, format, { isKnown, folders: shared?.folders });
      opened.push(...filesOf([top, ...layers]).map(({ handle }) => handle));
      const parents = file.storage === 'volume' ? await reader.parents(top) : [];
      opened.push(...parents.map((layer) => layer.file.handle));
      const below = [...layers, ...parents];
      const infos = [
        await describe(top.file, top.facts, ports),
        ...(await Promise.all(below.map((layer) => describe(layer.file, layer.facts, ports)))),
        ...(known ?? []),
      ] as const;
      shared?.bases?.keep([top, ...layers], infos);
      return infos;
    }
    opened.push(file.handle);
    return [await describe(file, await reader.facts(file, format), ports)];
  } finally {
    await Promise.all(opened.map((handle) => handle.close()));
  }
}

/** Adds a finding while an operation changes it in place, or if one began to and did not finish. */
async function describe(file: Resolved, facts: ImageFacts, { imageLocks, touched }: InfoPorts): Promise<ImageInfo> {
  const info = await describeImage(file, facts, imageLocks);
  const mark = touched.find(file, file.address);
  if (mark === undefined) return info;
  const message = `${mark.method} ${mark.operationId} began to change it in place and has not succeeded: do that again`;
  return { ...info, findings: [...info.findings, { reason: 'INTERRUPTED', message }] };
}
