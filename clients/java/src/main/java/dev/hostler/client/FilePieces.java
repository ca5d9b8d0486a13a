package dev.hostler.client;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Reads a file in pieces of the size that the contract recommends. */
final class FilePieces {
  static final int PIECE_BYTES = 256 * 1024;
  private static final ByteBuffer ZEROS = ByteBuffer.allocate(PIECE_BYTES).asReadOnlyBuffer();

  /** Takes a piece. */
  @FunctionalInterface
  interface Taker {
    /** The bytes, and whether all of them are zeros. */
    void take(ByteBuffer bytes, boolean zeros) throws IOException;
  }

  private FilePieces() {}

  /** From an offset to the end; the buffer is used again for the next piece. */
  static void read(FileChannel file, long offset, Taker taker) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(PIECE_BYTES);
    long position = offset;
    while (true) {
      buffer.clear();
      while (buffer.hasRemaining()) {
        int length = file.read(buffer, position + buffer.position());
        if (length < 0) {
          break;
        }
      }
      buffer.flip();
      if (!buffer.hasRemaining()) {
        return;
      }
      position += buffer.remaining();
      taker.take(buffer, buffer.equals(ZEROS.duplicate().limit(buffer.remaining())));
    }
  }

  /** The digest of a whole file, and how many bytes lie in pieces that are not zeros. */
  record Content(String digest, long dataBytes) {}

  static Content digest(FileChannel file) throws IOException {
    BlockDigest digest = new BlockDigest();
    long[] data = {0};
    read(
        file,
        0,
        (bytes, zeros) -> {
          if (zeros) {
            digest.zeros(bytes.remaining());
          } else {
            data[0] += bytes.remaining();
            digest.update(bytes);
          }
        });
    return new Content(digest.digest(), data[0]);
  }
}
