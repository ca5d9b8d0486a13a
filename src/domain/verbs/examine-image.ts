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

/** Extents that are sent together: many enough to be efficient, few enough to arrive soon. */
const EXTENTS_PER_PAGE = 2000;

interface ExamineSpec {
  readonly address: ImageAddress;
  readonly format: ImageFormat;
  readonly passphrase?: Uint8Array;
}

/** Which parts of the guest's disk are data, zeros or holes, in order, a page at a time. */
export async function* mapImage(
  spec: ExamineSpec,
  caller: Caller,
  ports: ExaminePorts,
): AsyncGenerator<Extent[], void> {
  const { chain, close } = await openToRead(spec, caller, ports);
  try {
    let page: Extent[] = [];
    for await (const extent of ports.tool.map(chain, plainRun(caller.signal))) {
      page.push(inOneFile(extent, chain));
      if (page.length < EXTENTS_PER_PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  } finally {
    await close();
  }
}

/** An offset in one of several files is meaningless, so it is left out. */
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

/** How much space an image needs in another format. */
export async function measureImage(
  spec: ExamineSpec & { readonly targetFormat: ImageFormat },
  caller: Caller,
  ports: ExaminePorts,
): Promise<Measure> {
  const { chain, close } = await openToRead(spec, caller, ports);
  try {
    const run = plainRun(caller.signal);
    const [measured, bytes] = await Promise.all([
      ports.tool.measure(chain, spec.targetFormat, run),
      dataBytes(chain, ports.tool, run),
    ]);
    return { ...measured, dataBytes: bytes };
  } finally {
    await close();
  }
}

/**
 * Opens an image that tools may read, and counts the call against its caller's limit. The caller
 * closes it, which also ends the count.
 */
async function openToRead({ address, format, passphrase }: ExamineSpec, caller: Caller, ports: ExaminePorts) {
  const leave = ports.readers.enter(caller.identity);
  let chain: Chain | undefined;
  const close = async () => {
    leave();
    if (chain !== undefined) await closeChain(chain);
  };
  try {
    chain = await ports.reader.chain(address, format);
    assertSafe(chain);
    await ports.reader.assertChainWhole(chain, caller.signal);
    return { chain: unlocked(chain, passphrase), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function closeChain(chain: Chain): Promise<void> {
  await Promise.all(filesOf(chain).map(({ handle }) => handle.close()));
}
