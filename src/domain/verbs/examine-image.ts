import type { ImageAddress } from '../model/address.js';
import type { Caller } from '../access/caller.js';
import { filesOf } from '../images/extents.js';
import type { ImageFormat } from '../model/image-format.js';
import type { Extent } from '../model/image-info.js';
import { dataBytes } from '../images/guest-data.js';
import { assertSafe } from '../images/image-policy.js';
import type { ImageReader } from '../images/read-image.js';
import type { ReadCallLimit } from './read-call-limit.js';
import { unlocked } from '../images/unlocked.js';
import { plainRun, type Chain, type ImageTool } from '../ports/tools.js';

export interface ExaminePorts {
  readonly reader: ImageReader;
  readonly tool: ImageTool;
  readonly readers: ReadCallLimit;
}

/** Extents sent together: big enough to be cheap, small enough to come at once. */
const EXTENTS_PER_PAGE = 2000;

/** Which parts of the guest's disk are data, zeros or holes, in order, a page at a time. */
export async function* mapImage(
  spec: { address: ImageAddress; format: ImageFormat; passphrase?: Uint8Array },
  caller: Caller,
  { reader, tool, readers }: ExaminePorts,
): AsyncGenerator<Extent[], void> {
  const run = plainRun(caller.signal);
  const leave = readers.enter(caller.identity);
  let chain: Chain | undefined;
  try {
    chain = await reader.chain(spec.address, spec.format);
    assertSafe(chain);
    await reader.assertChainWhole(chain, caller.signal);
    const opened = unlocked(chain, spec.passphrase);
    let page: Extent[] = [];
    for await (const extent of tool.map(opened, run)) {
      page.push(inOneFile(extent, opened));
      if (page.length < EXTENTS_PER_PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  } finally {
    leave();
    if (chain !== undefined) await closeChain(chain);
  }
}

/** An offset in one of several files says nothing. */
function inOneFile(extent: Extent, chain: Chain): Extent {
  if (chain[extent.depth]?.extents === undefined) return extent;
  const { offsetBytes, lengthBytes, data, zero, depth } = extent;
  return { offsetBytes, lengthBytes, data, zero, depth };
}

export interface Measure {
  readonly requiredBytes: bigint;
  readonly fullyAllocatedBytes: bigint;
  readonly dataBytes: bigint;
}

/** How much space an image takes in another format. */
export async function measureImage(
  spec: { address: ImageAddress; format: ImageFormat; targetFormat: ImageFormat; passphrase?: Uint8Array },
  caller: Caller,
  { reader, tool, readers }: ExaminePorts,
): Promise<Measure> {
  const run = plainRun(caller.signal);
  const leave = readers.enter(caller.identity);
  let chain: Chain | undefined;
  try {
    chain = await reader.chain(spec.address, spec.format);
    assertSafe(chain);
    await reader.assertChainWhole(chain, caller.signal);
    const opened = unlocked(chain, spec.passphrase);
    const [measured, bytes] = await Promise.all([
      tool.measure(opened, spec.targetFormat, run),
      dataBytes(opened, tool, run),
    ]);
    return { ...measured, dataBytes: bytes };
  } finally {
    leave();
    if (chain !== undefined) await closeChain(chain);
  }
}

async function closeChain(chain: Chain): Promise<void> {
  await Promise.all(filesOf(chain).map(({ handle }) => handle.close()));
}
