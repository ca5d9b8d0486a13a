package dev.hostler.client;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/** Decides for one call whether it is made again, and waits until then. For one thread. */
final class Retries {
  /** The daemon ended or ends: the same call again is what it asks for. */
  private static final Set<String> RESTART = Set.of("AGENT_RESTARTED", "SHUTTING_DOWN");

  private final RetryPolicy policy;
  private int begun;
  private int failures;
  private long failingSince;
  private boolean answered;

  Retries(RetryPolicy policy) {
    this.policy = policy;
  }

  /** The daemon has sent something: patience begins anew. */
  void answered() {
    answered = true;
    failures = 0;
  }

  /** Returns when the call may be made again; otherwise throws the failure. */
  void waitOrThrow(HostlerException failure, boolean again) {
    if (!again) {
      throw failure;
    }
    if (answered && ++begun > policy.restarts()) {
      throw failure;
    }
    answered = false;
    if (failures == 0) {
      failingSince = System.nanoTime();
    }
    Duration delay = delay(failure);
    if (System.nanoTime() - failingSince + delay.toNanos() >= policy.patience().toNanos()) {
      throw failure;
    }
    try {
      Thread.sleep(delay.toMillis());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      failure.addSuppressed(interrupted);
      throw failure;
    }
  }

  /** The same for errors that {@link #isPassing} says will pass. */
  void waitOrThrow(HostlerException failure) {
    waitOrThrow(failure, isPassing(failure));
  }

  /** The connection was lost, the daemon ended, or it said when to come back. */
  static boolean isPassing(HostlerException failure) {
    if (failure instanceof ConnectionException lost) {
      return lost.problem().passes();
    }
    return RESTART.contains(failure.reason()) || failure.retryDelay().isPresent();
  }

  private Duration delay(HostlerException failure) {
    double most = policy.longestDelay().toMillis();
    double wait = Math.min(most, policy.firstDelay().toMillis() * Math.pow(2, failures++));
    long random = Math.round(wait * (0.5 + ThreadLocalRandom.current().nextDouble() / 2));
    Duration asked = failure.retryDelay().orElse(Duration.ZERO);
    return asked.toMillis() > random ? asked : Duration.ofMillis(random);
  }
}
