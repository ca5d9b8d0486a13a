import { imageNeed } from '../verbs/convert-image.js';
import { dataBytes } from '../images/guest-data.js';
import type { ImageFormat } from '../model/image-format.js';
import { layoutOf, type Layout } from '../model/image-layout.js';
import type { ImageFacts } from '../model/image-info.js';
import { OPENS, opened } from '../images/unlocked.js';
import type { Run } from '../operations/verb.js';
import type { BringPorts } from './download.js';
import type { EarlyConversion } from './early-conversion.js';
import { takeMember, type ArchivePorts } from './archive-member.js';
import { expand, type ExpandPorts } from './expand.js';
import { validateForeign, type JudgePorts } from './validate-foreign.js';
import { movedOf } from '../verbs/moved.js';
import { rest, scale } from '../model/numbers.js';
import type { Resolved } from '../ports/handles.js';
import type { StagedImage, ResolvedTarget } from '../ports/targets.js';
import type { Layer } from '../ports/tools.js';

export type MakePorts = BringPorts & ExpandPorts & ArchivePorts & JudgePorts;

/** The finished image: as received, with its facts, or converted. */
export interface MadeImage {
  readonly format: ImageFormat;
  readonly kept?: ImageFacts;
  readonly converted?: Converted;
}

/** A layout can be chosen only with a format. */
interface MakeSpec extends Layout {
  /** Unset: unchanged. */
  readonly format?: ImageFormat;
  readonly sourceFormat?: ImageFormat;
  readonly maxSizeBytes?: bigint;
  /** The file to take from a received archive; unset: the received file is the image. */
  readonly archiveMember?: string;
  /** Follows the received file. */
  readonly early?: EarlyConversion | undefined;
}

/**
 * Unpacks the received file in the part's private folder, validates it, and makes the part in the
 * requested format.
 */
export async function makeImage(
  part: StagedImage,
  target: ResolvedTarget,
  spec: MakeSpec,
  run: Run,
  ports: MakePorts,
): Promise<MadeImage> {
  const { format, sourceFormat, maxSizeBytes, archiveMember, early } = spec;
  const layout = layoutOf(spec);
  const { maxBytes } = ports.rules;
  const expanded = await expand(part.aside, part, target.address, maxBytes, run, ports);
  const file =
    archiveMember === undefined
      ? expanded
      : // What is in an archive may be compressed once more; the archive is not needed any more then.
        await expand(
          await takeMember(expanded, part, target.address, archiveMember, maxBytes, run, ports),
          part,
          target.address,
          maxBytes,
          run,
          ports,
        );
  const declared = {
    ...(sourceFormat === undefined ? {} : { format: sourceFormat }),
    ...(maxSizeBytes === undefined ? {} : { maxSizeBytes }),
  };
  const image = opened(await validateForeign(file, target, declared, run, ports), run.secrets[OPENS]);
  const wanted = format ?? image.format;
  const asItIs = wanted === image.format && image.opens === undefined && Object.keys(layout).length === 0;
  if (asItIs && target.storage === 'file') {
    await run.step('keep');
    // So that little remains to be made durable after it was renamed.
    await ports.files.sync(image.file);
    await part.adopt(file.name);
    return { format: image.format, kept: image.facts };
  }
  const isReceived = file.name === part.aside.name && image.format === 'qcow2' && image.opens === undefined;
  const readBytes = isReceived ? await early?.readBytes(image.facts) : undefined;
  if (readBytes !== undefined)
    return { format: wanted, converted: { readBytes, wholeBytes: image.facts.virtualSizeBytes } };
  // The tool writes the part's file.
  await early?.close();
  return {
    format: wanted,
    converted: await convertLayer(image, part, target, { ...layout, format: wanted }, run, ports),
  };
}

/** Bytes of the guest's disk that were read, and their total. */
interface Converted {
  readonly readBytes: bigint;
  readonly wholeBytes: bigint;
}

/** The final progress of a conversion: zeros that were read have become holes. */
export function showConverted(made: Resolved, { readBytes, wholeBytes }: Converted, run: Run): void {
  const { movedBytes, skippedBytes } = movedOf(made, readBytes, wholeBytes);
  run.progress({ doneBytes: movedBytes, totalBytes: movedBytes, skippedBytes });
}

/** Converts one image without a base to another format or layout. */
export async function convertLayer(
  image: Layer,
  part: StagedImage,
  { address }: ResolvedTarget,
  wanted: Layout & { readonly format: ImageFormat },
  run: Run,
  { tool }: Pick<MakePorts, 'tool'>,
): Promise<Converted> {
  const totalBytes = await dataBytes([image], tool, run.tool());
  const { virtualSizeBytes } = image.facts;
  const skippedBytes = rest(virtualSizeBytes, totalBytes);
  await run.reserve(
    address,
    await imageNeed([image], wanted.format, totalBytes, tool, run.tool(), layoutOf(wanted)),
    part,
  );
  run.phase('CONVERTING');
  run.progress({ doneBytes: 0n, totalBytes, skippedBytes });
  await run.step('convert');
  const direct = await part.canWriteDirectly();
  await tool.convert(
    [image],
    part,
    { ...wanted, compress: false, preallocation: 'off', direct, shared: false },
    run.tool((fraction, ahead) => {
      run.progress({ doneBytes: scale(totalBytes, fraction, ahead), totalBytes, skippedBytes });
    }),
  );
  run.progress({ doneBytes: totalBytes, totalBytes, skippedBytes });
  return { readBytes: totalBytes, wholeBytes: virtualSizeBytes };
}
