package dev.hostler.client;

import dev.hostler.client.ConnectionException.Problem;
import dev.hostler.v1.ListOperationsRequest;
import dev.hostler.v1.OperationFilter;
import dev.hostler.v1.OperationServiceGrpc;
import dev.hostler.v1.WatchOperationsRequest;
import dev.hostler.v1.WatchOperationsResponse;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.stream.Stream;

/**
 * What happens to operations, without an end. When the connection or the daemon goes away, it goes
 * on behind the last event that was read, so that no change is missed and none comes twice. Read by
 * one thread; {@link #close} may come from another. It fails with {@link HostlerException}, with
 * the reason CURSOR_TOO_OLD when the daemon's history no longer goes back to the cursor: list the
 * operations then, and watch from the cursor of that list.
 */
public final class Watch implements Iterator<WatchOperationsResponse>, AutoCloseable {
  private final Hostler hostler;
  private final OperationFilter filter;
  private final Retries retries;
  private volatile EventStream<WatchOperationsResponse> stream;
  private WatchOperationsResponse next;
  private volatile boolean closed;
  private volatile String cursor;

  Watch(Hostler hostler, OperationFilter filter, String cursor) {
    this.hostler = hostler;
    this.filter = filter;
    this.retries = hostler.retries();
    // If the first connection breaks before its first event, the next one goes on from here.
    this.cursor = cursor.isEmpty() ? now() : cursor;
    open(cursor);
  }

  private String now() {
    ListOperationsRequest list = ListOperationsRequest.newBuilder().setPageSize(1).build();
    return hostler.call(OperationServiceGrpc.getListOperationsMethod(), list).getCursor();
  }

  private void open(String from) {
    WatchOperationsRequest request =
        WatchOperationsRequest.newBuilder().setFilter(filter).setCursor(from).build();
    stream = hostler.stream(OperationServiceGrpc.getWatchOperationsMethod(), request);
    if (closed) {
      stream.close();
    }
  }

  /**
   * Where a later watch goes on that has read as far as this one.
   *
   * @return the cursor of the last event that was read; at first that of the beginning
   */
  public String cursor() {
    return cursor;
  }

  /** Waits for the next event; false only after {@link #close}. */
  @Override
  public boolean hasNext() {
    while (!closed) {
      try {
        while (next == null && stream.hasNext()) {
          take(stream.next());
        }
        if (next != null) {
          return true;
        }
        // The daemon never ends it in peace.
        throw new ConnectionException(hostler.address(), Problem.CONNECTION_LOST, null);
      } catch (HostlerException error) {
        if (closed) {
          return false;
        }
        retries.waitOrThrow(
            error, Retries.isPassing(error) || error.reason().equals("WATCHER_TOO_SLOW"));
        hostler.reconnect();
        open(cursor);
      }
    }
    return false;
  }

  @Override
  public WatchOperationsResponse next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    WatchOperationsResponse event = next;
    next = null;
    cursor = event.getCursor();
    return event;
  }

  /** While nothing matches, the daemon sends messages that have only a cursor. */
  private void take(WatchOperationsResponse message) {
    retries.answered();
    if (message.hasEvent()) {
      next = message;
    } else if (!message.getCursor().isEmpty()) {
      cursor = message.getCursor();
    }
  }

  /**
   * The events as a stream; closing it closes this.
   *
   * @return ordered, sequential, without an end
   */
  public Stream<WatchOperationsResponse> stream() {
    return EventStream.streamOf(this, this::close);
  }

  /** Ends it; who waits in {@link #hasNext} gets false. */
  @Override
  public void close() {
    closed = true;
    stream.close();
  }
}
