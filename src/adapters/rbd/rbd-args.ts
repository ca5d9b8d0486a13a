/**
 * Command lines of `rbd`. Each name is a separate option, so that none is parsed as part of
 * another.
 */
import type { Pool, RbdImage } from '../qemu/rbd-pool.js';

/**
 * Options of `rbd` that name an image, or its snapshot. They have the form --option=value, so no
 * name is taken for an option.
 */
export function imageWords({ pool, namespace, image, snapshot }: RbdImage): string[] {
  return [...poolWords(pool, namespace), `--image=${image}`, ...(snapshot === undefined ? [] : [`--snap=${snapshot}`])];
}

/** Options of `rbd` that name a pool and, if set, a namespace. */
export function poolWords({ name }: Pool, namespace: string): string[] {
  return [`--pool=${name}`, ...(namespace === '' ? [] : [`--namespace=${namespace}`])];
}

/** Options of `rbd` that name the image to be made by a copy or clone. */
export function targetWords({ pool, namespace, image }: RbdImage): string[] {
  return [
    `--dest-pool=${pool.name}`,
    ...(namespace === '' ? [] : [`--dest-namespace=${namespace}`]),
    `--dest=${image}`,
  ];
}

/** `rbd create` of an image of so many bytes; `thick` writes every object. */
export function createWords(image: RbdImage, sizeBytes: bigint, thick: boolean): string[] {
  return ['create', ...imageWords(image), '--size', `${String(sizeBytes)}B`, ...(thick ? ['--thick-provision'] : [])];
}

/** `rbd resize` to an absolute size in bytes. Without `shrink` rbd refuses a smaller size. */
export function resizeWords(image: RbdImage, sizeBytes: bigint, shrink: boolean): string[] {
  return ['resize', ...imageWords(image), '--size', `${String(sizeBytes)}B`, ...(shrink ? ['--allow-shrink'] : [])];
}
