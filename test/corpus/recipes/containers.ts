/** Containers as qemu-img and qemu-io make them, whole and cut. */
import type { ImageFormat } from '../../../src/domain/model/image-format.js';
import type { Honest, Wrong } from '../recipe.js';

/** Format, options of qemu-img convert. */
const CONVERTED: readonly (readonly [ImageFormat, string])[] = [
  ['qcow2', ''],
  ['qcow2', '-o compat=0.10'],
  ['qcow2', '-o cluster_size=512'],
  ['qcow2', '-o cluster_size=4k,lazy_refcounts=on'],
  ['qcow2', '-o cluster_size=2M'],
  ['qcow2', '-o cluster_size=16k,extended_l2=on'],
  ['qcow2', '-o refcount_bits=1'],
  ['qcow2', '-o refcount_bits=64'],
  ['qcow2', '-o preallocation=metadata'],
  ['qcow2', '-o preallocation=falloc'],
  ['qcow2', '-c'],
  ['qcow2', '-c -o cluster_size=4k'],
  ['qcow2', '-c -o compression_type=zstd'],
  ['qcow', ''],
  ['qed', ''],
  ['qed', '-o cluster_size=4k'],
  ['vdi', ''],
  ['vdi', '-o static=on'],
  ['vmdk', ''],
  ['vmdk', '-o zeroed_grain=on'],
  ['vmdk', '-o adapter_type=lsilogic,hwversion=10'],
  ['vmdk', '-o compat6'],
  ['vmdk', '-o subformat=streamOptimized'],
  ['vpc', '-o force_size=on'],
  ['vpc', '-o subformat=fixed,force_size=on'],
  ['vhdx', ''],
  ['vhdx', '-o block_size=1M'],
  ['vhdx', '-o subformat=fixed'],
  ['parallels', ''],
  ['parallels', '-o cluster_size=64k'],
];
const DISKS = ['holes', 'dense', 'zeros', 'parted'];

const converted = CONVERTED.flatMap(([format, options]) =>
  DISKS.map((disk): Honest => ({
    kind: `${format} by qemu-img convert`,
    make: `qemu-img convert -f raw -O ${format} ${options} $D/${disk} image`,
    format,
    by: 'all',
  })),
);

/** Changed after they were made. */
const CHANGED: readonly (readonly [ImageFormat, string])[] = [
  ['qcow2', "qemu-img create -q -f qcow2 image 3M && qemu-io -f qcow2 -c 'write -P 1 0 1M' -c 'write -z 0 64k' image"],
  ['qcow2', "qemu-img create -q -f qcow2 image 3M && qemu-io -f qcow2 -c 'write -P 1 0 2M' -c 'discard 1M 1M' image"],
  ['qcow2', "qemu-img create -q -f qcow2 image 3M && qemu-io -f qcow2 -c 'write -z 0 1M' image"],
  [
    'qcow2',
    "qemu-img create -q -f qcow2 image 3M && qemu-io -f qcow2 -c 'write -P 5 1M 64k' image && qemu-img snapshot -c a image && qemu-io -f qcow2 -c 'write -P 6 1M 64k' image",
  ],
  [
    'qcow2',
    "qemu-img create -q -f qcow2 image 3M && qemu-io -f qcow2 -c 'write -P 5 1M 64k' image && qemu-img snapshot -c a image && qemu-img snapshot -d a image",
  ],
  ['qcow2', 'qemu-img convert -f raw -O qcow2 $D/dense image && qemu-img resize -q -f qcow2 image 5M'],
  ['qcow2', 'qemu-img convert -f raw -O qcow2 $D/dense image && qemu-img resize -q --shrink -f qcow2 image 512k'],
  ['qcow2', 'qemu-img convert -f raw -O qcow2 $D/dense image && qemu-img bitmap --add image b'],
  [
    'qcow2',
    'qemu-img convert -f raw -O qcow2 -o compat=0.10 $D/dense image && qemu-img amend -f qcow2 -o compat=1.1 image',
  ],
  ['qcow2', 'qemu-img create -q -f qcow2 image 8T'],
  ['qcow2', 'qemu-img create -q -f qcow2 image 0'],
  ['qcow2', "qemu-img create -q -f qcow2 image 1000448 && qemu-io -f qcow2 -c 'write -P 1 999936 512' image"],
  ['qcow2', 'qemu-img convert -f raw -O qcow2 $D/dense image && truncate -s +100000 image'],
  ['qed', "qemu-img create -q -f qed image 3M && qemu-io -f qed -c 'write -P 1 0 1M' -c 'write -z 0 64k' image"],
  ['qed', 'qemu-img create -q -f qed image 1T'],
  ['vdi', "qemu-img create -q -f vdi image 3M && qemu-io -f vdi -c 'write -P 1 1500k 512' image"],
  ['vdi', 'qemu-img create -q -f vdi image 100G'],
  ['vmdk', "qemu-img create -q -f vmdk image 3M && qemu-io -f vmdk -c 'write -P 1 1500k 512' image"],
  ['vmdk', 'qemu-img create -q -f vmdk image 100G'],
  ['vhdx', "qemu-img create -q -f vhdx image 3M && qemu-io -f vhdx -c 'write -P 1 1500k 512' image"],
  ['vhdx', 'qemu-img create -q -f vhdx image 4G'],
  ['vpc', 'qemu-img create -q -f vpc -o force_size=on image 40M'],
  ['parallels', "qemu-img create -q -f parallels image 3M && qemu-io -f parallels -c 'write -P 1 1500k 512' image"],
];
const changed = CHANGED.map(([format, make]): Honest => ({
  kind: `${format} changed by qemu-io and qemu-img`,
  make,
  format,
  by: 'all',
}));

const sealed: Honest[] = [
  {
    kind: 'LUKS',
    format: 'luks',
    by: 'bytes',
    make: 'truncate -s 20M image && printf x | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 image -',
  },
  {
    kind: 'LUKS',
    format: 'luks',
    by: 'bytes',
    make: 'truncate -s 20M image && printf x | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 image -',
  },
  {
    kind: 'LUKS',
    format: 'luks',
    by: 'bytes',
    make: 'truncate -s 20M image && printf x | cryptsetup luksFormat -q --type luks2 --sector-size 4096 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 image -',
  },
];

const SEAL = '--object secret,id=k,data=x -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10';
// It takes qemu seconds to make one.
const SEALED_QCOW2 = `[ -e $D/sealed ] || qemu-img convert -f raw -O qcow2 ${SEAL} $D/dense $D/sealed; cp $D/sealed image`;
const inside: Honest = { kind: 'qcow2 with LUKS inside', format: 'qcow2', by: 'bytes', make: SEALED_QCOW2 };

export const CONTAINERS: readonly Honest[] = [...converted, ...changed, ...sealed, inside];

/** Where they are cut, in parts of their length. */
const CUTS = ['$((s - 600))', '$((s / 2))', '$((s / 4 / 512 * 512))'];
/** Those whose cut file is a container still, and whose data goes up to its end. */
const CUT: readonly (readonly [ImageFormat, string])[] = CONVERTED.filter(
  ([format, options]) => !options.includes('fixed') && !options.includes('2M') && format !== 'vhdx',
);

const CUT_WHOLE = CUT.flatMap(([format, options]) =>
  CUTS.map((at): Wrong => ({
    kind: `${format} cut short`,
    make: `qemu-img convert -f raw -O ${format} ${options} $D/dense image && s=$(stat -c %s image) && truncate -s ${at} image`,
    format,
    everywhere: true,
    reasons: ['IMAGE_MALFORMED', 'IMAGE_UNSAFE'],
  })),
);
/** The last is within its keys. */
const CUT_SEALED = [...CUTS, '300000'].map((at): Wrong => ({
  kind: 'qcow2 with LUKS inside cut short',
  make: `${SEALED_QCOW2} && s=$(stat -c %s image) && truncate -s ${at} image`,
  format: 'qcow2',
  everywhere: true,
  reasons: ['IMAGE_MALFORMED', 'IMAGE_UNSAFE'],
}));

export const CUT_CONTAINERS: readonly Wrong[] = [...CUT_WHOLE, ...CUT_SEALED];
