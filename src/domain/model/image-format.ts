/** The capabilities of a format. */
export interface FormatTraits {
  /** Whether qemu-img can create it. */
  readonly creatable: boolean;
  /** Whether it can name a backing file. */
  readonly backing: boolean;
  readonly compressible: boolean;
  readonly preallocations: readonly Preallocation[];
  readonly clusterSize: boolean;
  /** Whether content is encrypted: `needed`, `possible` or `no`. */
  readonly encryption: 'needed' | 'possible' | 'no';
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';

const plain: FormatTraits = {
  creatable: false,
  backing: false,
  compressible: false,
  preallocations: ['off'],
  clusterSize: false,
  encryption: 'no',
};

const FORMATS = {
  raw: { ...plain, creatable: true, preallocations: ['off', 'falloc', 'full'] },
  qcow2: {
    creatable: true,
    backing: true,
    compressible: true,
    preallocations: ['off', 'metadata', 'falloc', 'full'],
    clusterSize: true,
    encryption: 'possible',
  },
  qcow: { ...plain, backing: true },
  qed: { ...plain, creatable: true, backing: true, clusterSize: true },
  vdi: { ...plain, creatable: true, preallocations: ['off', 'metadata'] },
  vmdk: { ...plain, creatable: true, backing: true, compressible: true },
  vpc: { ...plain, creatable: true },
  vhdx: { ...plain, creatable: true },
  parallels: { ...plain, creatable: true, clusterSize: true },
  luks: { ...plain, creatable: true, preallocations: ['off', 'falloc', 'full'], encryption: 'needed' },
  dmg: plain,
  bochs: plain,
  cloop: plain,
} as const satisfies Record<string, FormatTraits>;

export type ImageFormat = keyof typeof FORMATS;

const names: readonly ImageFormat[] = Object.keys(FORMATS).filter((name): name is ImageFormat => name in FORMATS);

/** What images of the format can have: creation, encryption, compression and layout. */
export function traits(format: ImageFormat): FormatTraits {
  return FORMATS[format];
}

/**
 * Whether a header of the format can declare its base's format to be the other: without that it
 * would be guessed from the base's bytes.
 */
export function canSayOfBase(format: ImageFormat, base: ImageFormat): boolean {
  if (format === 'qed') return base === 'raw';
  if (format === 'vmdk') return base === 'vmdk';
  return format === 'qcow2';
}

export const CREATABLE_FORMATS: readonly ImageFormat[] = names.filter((name) => traits(name).creatable);

export const READABLE_FORMATS: readonly ImageFormat[] = names;

/** A format to read, or what is wrong. */
export function parseFormat(name: string): ImageFormat | { readonly problem: string } {
  return choose(name, names);
}

/** A format to write, or what is wrong. */
export function parseTargetFormat(name: string): ImageFormat | { readonly problem: string } {
  return choose(name, CREATABLE_FORMATS);
}

/** Other names of formats, used by people and programs. */
const OTHER_NAMES: Readonly<Record<string, ImageFormat>> = {
  vhd: 'vpc',
  iso: 'raw',
  img: 'raw',
  qcow3: 'qcow2',
  ploop: 'parallels',
  hdd: 'parallels',
};

function choose(name: string, choices: readonly ImageFormat[]): ImageFormat | { readonly problem: string } {
  const found = choices.find((choice) => choice === name);
  if (found !== undefined) return found;
  const list = choices.join(', ');
  if (name === '') return { problem: `required; one of ${list}` };
  const here = Object.entries(OTHER_NAMES).find(([other]) => other === name.toLowerCase())?.[1];
  const hint = here === undefined || !choices.includes(here) ? '' : `; what you mean may be ${here}`;
  return { problem: `unknown format${hint}; one of ${list}` };
}
