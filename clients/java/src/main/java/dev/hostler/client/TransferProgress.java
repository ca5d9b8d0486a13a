package dev.hostler.client;

/** Hears how far an upload or download is. */
@FunctionalInterface
public interface TransferProgress {
  /** For those who do not care. */
  TransferProgress NONE = (done, total) -> {};

  /**
   * Called after each message, in the thread that transfers.
   *
   * @param doneBytes how much of the file is there, holes included; it decreases when bytes that
   *     were not durable have to be sent again
   * @param totalBytes the length of the file; of a download 0, which does not know it
   */
  void at(long doneBytes, long totalBytes);
}
