import type { ImageAddress } from './address.js';
import { HostlerError } from './errors.js';
import { detectFormat } from './formats/magic.js';
import { readQcow2 } from './formats/qcow2.js';
import { vmdkFindings } from './formats/vmdk.js';
import { parseFormat, type ImageFormat } from './image-format.js';
import type { ImageFacts } from './image-info.js';
import type { Chain, Files, ImageTool, Layer, Paths, Resolved, ToolRun } from './ports.js';
import { SECTOR_BYTES, roundUp } from './size.js';

/** qemu itself has no limit; deeper chains than this are a mistake or an attack. */
export const MAX_CHAIN_LAYERS = 64;

export interface ReaderPorts {
  readonly paths: Paths;
  readonly files: Files;
  readonly tool: ImageTool;
}

/** Reads headers and follows backing chains, inside the roots only. */
export class ImageReader {
  constructor(private readonly ports: ReaderPorts) {}

  /** The format that the content claims. */
  detect(file: Resolved): Promise<ImageFormat> {
    return this.ports.files.withBytes(file, detectFormat);
  }

  /**
   * What the header says. A declared container format must be the one found; declared `raw` never mismatches, because its
   * bytes are the guest's. Undeclared, the format is detected. Fails with FORMAT_MISMATCH, IMAGE_MALFORMED.
   */
  async facts(file: Resolved, declared: ImageFormat | undefined, run: ToolRun): Promise<ImageFacts> {
    const { files, tool } = this.ports;
    if (declared === 'raw') return rawFacts(file);
    const [format, own, findings] = await files.withBytes(file, async (bytes) => {
      const found = await detectFormat(bytes);
      return [
        found,
        found === 'qcow2' && (declared ?? found) === 'qcow2' ? await readQcow2(bytes) : undefined,
        found === 'vmdk' ? await vmdkFindings(bytes) : [],
      ] as const;
    });
    if (declared !== undefined && declared !== format) {
      throw new HostlerError(
        'FORMAT_MISMATCH',
        `${file.address} is declared ${declared} but its content says ${format}`,
        {
          facts: { path: file.address, declared, detected: format },
        },
      );
    }
    if (format === 'raw') return rawFacts(file);
    // No tool may see it, not even for its header: qemu would open what it names.
    const [bad] = findings;
    if (bad !== undefined) throw unsafe(file.address, bad.message);
    return own ?? (await tool.info(file, format, run));
  }

  /** The image and all that it is backed by; handles are the caller's to close. Fails with IMAGE_UNSAFE, and as `facts`. */
  async chain(address: ImageAddress, format: ImageFormat, run: ToolRun): Promise<Chain> {
    const opened: Resolved[] = [];
    try {
      const file = await this.ports.paths.source(address);
      opened.push(file);
      const top: Layer = { file, format, facts: await this.facts(file, format, run) };
      const below: Layer[] = [];
      let last = top;
      while (last.facts.backingFile !== undefined) {
        if (opened.length >= MAX_CHAIN_LAYERS)
          throw unsafe(address, `its chain has more than ${String(MAX_CHAIN_LAYERS)} layers`);
        const backing = await this.ports.paths.named(last.facts.backingFile, last.file);
        opened.push(backing);
        if ([top, ...below].some(({ file: seen }) => sameFile(seen, backing)))
          throw unsafe(address, `its chain comes back to ${backing.storedName}`);
        last = await this.layer(backing, last, run);
        below.push(last);
      }
      return [top, ...below];
    } catch (error) {
      await Promise.all(opened.map(({ handle }) => handle.close()));
      throw error;
    }
  }

  private async layer(file: Resolved, above: Layer, run: ToolRun): Promise<Layer> {
    const format = await this.backingFormat(file, above);
    return { file, format, facts: await this.facts(file, format, run) };
  }

  /** Never guessed: where the header does not say it, only a base without any mark can be taken, as raw (CVE-2014-0134). */
  private async backingFormat(file: Resolved, above: Layer): Promise<ImageFormat> {
    const stored = above.facts.backingFormat;
    if (stored === undefined) {
      if ((await this.detect(file)) === 'raw') return 'raw';
      throw unsafe(above.file.address, `it does not say the format of its backing file ${file.storedName}`);
    }
    const format = parseFormat(stored);
    if (typeof format === 'object')
      throw unsafe(above.file.address, `it says its backing file has the unknown format ${stored}`);
    return format;
  }
}

/** Refuses what a tool must not open: an image that keeps its data elsewhere or has features that nobody here knows. */
export function assertSafe(chain: Chain): void {
  for (const { file, facts } of chain) {
    const bad = facts.findings.find(({ reason }) => reason === 'EXTERNAL_DATA_FILE' || reason === 'UNKNOWN_FEATURE');
    if (bad !== undefined) throw unsafe(file.address, bad.message);
  }
}

/** Whether two handles name one inode. */
export function sameFile(a: { device: bigint; inode: bigint }, b: { device: bigint; inode: bigint }): boolean {
  return a.device === b.device && a.inode === b.inode;
}

function unsafe(address: ImageAddress, why: string): HostlerError {
  return new HostlerError('IMAGE_UNSAFE', `${address}: ${why}`, { facts: { path: address } });
}

/** The bytes of a file as a disk, whatever they mean. */
export function rawFacts(file: Resolved): ImageFacts {
  return {
    format: 'raw',
    virtualSizeBytes: roundUp(file.lengthBytes, SECTOR_BYTES),
    encrypted: false,
    dirty: false,
    corrupt: false,
    snapshots: [],
    findings: [],
  };
}
