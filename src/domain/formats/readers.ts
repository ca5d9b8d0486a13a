import type { ImageFormat } from '../model/image-format.js';
import type { ImageFacts } from '../model/image-info.js';
import type { ByteSource } from '../ports/images.js';
import { readBochs, readCloop, readDmg } from './foreign.js';
import { readLuks } from './luks.js';
import { readParallels } from './parallels.js';
import { readQcow } from './qcow.js';
import { readQcow2 } from './qcow2.js';
import { readQed } from './qed.js';
import { readVdi } from './vdi.js';
import { readVhdx } from './vhdx.js';
import { readVmdk } from './vmdk.js';
import { readVpc } from './vpc.js';

/** The header reader of each container format. Each fails with IMAGE_MALFORMED only. */
export const READERS: Readonly<Record<Exclude<ImageFormat, 'raw'>, (bytes: ByteSource) => Promise<ImageFacts>>> = {
  qcow2: readQcow2,
  qcow: readQcow,
  qed: readQed,
  vdi: readVdi,
  vmdk: readVmdk,
  vpc: readVpc,
  vhdx: readVhdx,
  parallels: readParallels,
  luks: readLuks,
  dmg: readDmg,
  bochs: readBochs,
  cloop: readCloop,
};
