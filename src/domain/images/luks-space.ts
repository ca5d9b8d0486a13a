/**
 * Space before the ciphertext: the header of LUKS 1 and its eight slots, for the longest keys that
 * qemu creates, with alignment.
 */
export const LUKS_HEADER_BYTES = 2n << 20n;
