import type { ImageAddress } from '../model/address.js';
import { describeFile } from '../images/describe-image.js';
import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts } from '../model/image-info.js';
import { assertToolSays } from '../images/ask-tool.js';
import type { ImageResult } from '../operations/results.js';
import type { Run } from '../operations/verb.js';
import type { ImageReader } from '../images/read-image.js';
import type { Resolved } from '../ports/handles.js';
import type { StagedImage } from '../ports/targets.js';
import type { ImageTool, Layer } from '../ports/tools.js';

export interface PublishPorts {
  readonly reader: ImageReader;
  readonly tool: Pick<ImageTool, 'identify'>;
}

type Work = Omit<ImageResult, 'kind' | 'info'>;

/**
 * Makes the staged image durable, reads its facts, and gives it its name; an untrusted one only if
 * it is acceptable: see `ImageReader.foreign`.
 */
export async function publishImage(
  part: StagedImage,
  target: {
    readonly address: ImageAddress;
    readonly format: ImageFormat;
    readonly untrusted?: true;
    /** Nothing has been written into it. */
    readonly content?: 'empty';
  },
  /** The amount of work; a function if only the finished image shows it. */
  done: Work | ((made: Layer) => Work | Promise<Work>),
  run: Run,
  ports: PublishPorts,
): Promise<ImageResult> {
  await run.step('seal');
  const made = await part.seal(target.content);
  // In the daemon's private folder no other process can hold it.
  const facts = await (target.untrusted === true
    ? untrustedFacts(made, target.format, run, ports)
    : ports.reader.facts(made, target.format));
  const info = describeFile(made, facts, false);
  const work = typeof done === 'function' ? await done({ file: made, format: target.format, facts }) : done;
  const { movedBytes, skippedBytes } = work;
  if (typeof done === 'function') run.progress({ doneBytes: movedBytes, totalBytes: movedBytes, skippedBytes });
  const result: ImageResult = { kind: 'image', info, ...work };
  const commit = { address: target.address, made, result };
  return run.commit(
    'COMMITTING',
    commit,
    () => part.publish(),
    () => part.sync(),
  );
}

/** The declared format, the daemon's reader and the tool must agree. */
async function untrustedFacts(
  made: Resolved,
  format: ImageFormat,
  run: Run,
  { reader, tool }: PublishPorts,
): Promise<ImageFacts> {
  const facts = await reader.foreign(made, format);
  await reader.assertWhole(made, format, run.signal);
  await run.step('identify');
  await assertToolSays({ file: made, format, facts }, tool, run.tool());
  return facts;
}
