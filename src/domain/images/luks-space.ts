/**
 * Before the ciphertext: the header of LUKS 1 and its eight slots, for the longest keys that qemu
 * makes, and what aligns them.
 */
export const LUKS_HEADER_BYTES = 2n << 20n;
