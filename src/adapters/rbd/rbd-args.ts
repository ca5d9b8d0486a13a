/**
 * Command lines of `rbd`. Names go into options of their own, so that none is taken for another's
 * part.
 */
import type { Pool, RbdImage } from '../qemu/rbd-pool.js';

export function imageWords({ pool, namespace, image, snapshot }: RbdImage): string[] {
  return [...poolWords(pool, namespace), `--image=${image}`, ...(snapshot === undefined ? [] : [`--snap=${snapshot}`])];
}

export function poolWords({ name }: Pool, namespace: string): string[] {
  return [`--pool=${name}`, ...(namespace === '' ? [] : [`--namespace=${namespace}`])];
}

export function targetWords({ pool, namespace, image }: RbdImage): string[] {
  return [
    `--dest-pool=${pool.name}`,
    ...(namespace === '' ? [] : [`--dest-namespace=${namespace}`]),
    `--dest=${image}`,
  ];
}

export function createWords(image: RbdImage, sizeBytes: bigint, thick: boolean): string[] {
  return ['create', ...imageWords(image), '--size', `${String(sizeBytes)}B`, ...(thick ? ['--thick-provision'] : [])];
}

export function resizeWords(image: RbdImage, sizeBytes: bigint, shrink: boolean): string[] {
  return ['resize', ...imageWords(image), '--size', `${String(sizeBytes)}B`, ...(shrink ? ['--allow-shrink'] : [])];
}
