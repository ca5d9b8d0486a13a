package dev.hostler.client;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The digest {@value #ALGORITHM} of bytes in order: sha256 over the sha256 of each block of 4 MiB.
 * Runs of zeros cost next to nothing.
 */
final class BlockDigest {
  static final String ALGORITHM = "sha256-4m-blocks";
  private static final int BLOCK_BYTES = 4 * 1024 * 1024;
  private static final byte[] ZERO_BLOCK = sha256().digest(new byte[BLOCK_BYTES]);

  private final MessageDigest blocks = sha256();
  private final MessageDigest block = sha256();
  private int filled;

  void update(ByteBuffer bytes) {
    ByteBuffer rest = bytes.duplicate();
    while (rest.hasRemaining()) {
      int length = Math.min(rest.remaining(), BLOCK_BYTES - filled);
      block.update(rest.slice(rest.position(), length));
      rest.position(rest.position() + length);
      filled += length;
      if (filled == BLOCK_BYTES) {
        endBlock();
      }
    }
  }

  void zeros(long count) {
    long left = count;
    while (left > 0) {
      if (filled == 0 && left >= BLOCK_BYTES) {
        blocks.update(ZERO_BLOCK);
        left -= BLOCK_BYTES;
      } else {
        int length = (int) Math.min(left, BLOCK_BYTES - filled);
        update(ByteBuffer.allocate(length));
        left -= length;
      }
    }
  }

  /** Lower case hexadecimal; nothing can be added any more. */
  String digest() {
    if (filled > 0) {
      endBlock();
    }
    return HexFormat.of().formatHex(blocks.digest());
  }

  private void endBlock() {
    blocks.update(block.digest());
    filled = 0;
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException("every Java has SHA-256", impossible);
    }
  }
}
