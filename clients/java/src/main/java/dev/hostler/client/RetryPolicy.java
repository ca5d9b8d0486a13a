package dev.hostler.client;

import java.time.Duration;

/**
 * How long a call is made again, with the same request id, after the connection was lost, the
 * daemon was restarted, or it has asked to come back later.
 *
 * @param patience for how long a daemon may be away, or ask to come back, without an answer between
 * @param restarts how often one call may begin and then be broken off
 * @param firstDelay the first wait; each further one is twice as long, with a random part
 * @param longestDelay the longest wait, unless the daemon asks for more
 */
public record RetryPolicy(
    Duration patience, int restarts, Duration firstDelay, Duration longestDelay) {

  /** Two minutes of patience, ten restarts, waits of a quarter of a second up to ten seconds. */
  public static final RetryPolicy DEFAULT =
      new RetryPolicy(Duration.ofMinutes(2), 10, Duration.ofMillis(250), Duration.ofSeconds(10));

  /** Every failure is handed to the caller at once. */
  public static final RetryPolicy NEVER =
      new RetryPolicy(Duration.ZERO, 0, Duration.ZERO, Duration.ZERO);
}
