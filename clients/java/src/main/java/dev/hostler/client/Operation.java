package dev.hostler.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import dev.hostler.client.ConnectionException.Problem;
import dev.hostler.v1.CancelOperationRequest;
import dev.hostler.v1.CancelOperationResponse;
import dev.hostler.v1.OperationEvent;
import dev.hostler.v1.OperationResult;
import dev.hostler.v1.OperationServiceGrpc;
import io.grpc.MethodDescriptor;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * An operation that this client has started. Its events come by iterating, or one waits for its
 * result; both follow it over lost connections and restarts of the daemon, by the same request id.
 * Each operation is iterated once, by one thread; {@link #cancel} and {@link #close} may come from
 * others. A failure is a {@link HostlerException}, after the event that says the same.
 */
public final class Operation implements Iterable<OperationEvent>, AutoCloseable {
  private final Hostler hostler;
  private final Retries retries;
  private final String requestId;
  private final Runnable open;
  private final Events events = new Events();
  private Consumer<OperationEvent> progress = event -> {};
  private volatile EventStream<OperationEvent> stream;
  private volatile boolean closed;
  private volatile boolean cancelled;
  private volatile OperationEvent last;

  <Q> Operation(Hostler hostler, MethodDescriptor<Q, OperationEvent> method, Q request) {
    this.hostler = hostler;
    this.retries = hostler.retries();
    this.requestId = Requests.idOf(request);
    this.open = () -> stream = hostler.stream(method, request);
    open.run();
  }

  /**
   * The id under which every attempt of this call is made. Store it before the work if a later
   * process has to find out what became of it.
   *
   * @return the request's own, or the one that it was given
   */
  public String requestId() {
    return requestId;
  }

  /**
   * The operation's id; waits for the first event unless one was read.
   *
   * @return a ULID; another one after an attempt that had to begin again
   * @throws HostlerException if the daemon does not admit it
   */
  public String id() {
    if (last == null) {
      events.hasNext();
    }
    return last.getOperationId();
  }

  /**
   * Lets somebody hear each event while {@link #await} waits.
   *
   * @param listener called in the thread that waits
   * @return this
   */
  public Operation onEvent(Consumer<OperationEvent> listener) {
    progress = listener;
    return this;
  }

  /**
   * Waits for the end.
   *
   * @return the result; its {@code replayed} is set if an earlier call with this request id made it
   * @throws HostlerException if it failed or was cancelled
   */
  public OperationResult await() {
    while (events.hasNext()) {
      progress.accept(events.next());
    }
    return last.getResult();
  }

  /**
   * Waits for the end, and for a result of a type, which the RPC's comment names.
   *
   * @param <T> the type
   * @param type such as {@code ImageResult.class}, or {@code Plan.class} with plan_only
   * @return the result
   * @throws IllegalArgumentException if the operation has succeeded with a result of another type
   * @throws HostlerException if it failed or was cancelled
   */
  public <T extends Message> T await(Class<T> type) {
    OperationResult result = await();
    for (FieldDescriptor field : OperationResult.getDescriptor().getOneofs().get(0).getFields()) {
      if (result.hasField(field) && type.isInstance(result.getField(field))) {
        return type.cast(result.getField(field));
      }
    }
    throw new IllegalArgumentException(
        "the result is no " + type.getSimpleName() + " but " + result.getResultCase());
  }

  /**
   * Waits in a thread of its own.
   *
   * @return fails with a {@link HostlerException} as its cause
   */
  public CompletableFuture<OperationResult> future() {
    return Hostler.inThread(this::await);
  }

  /**
   * Cancels it, and waits until its children are gone and its files removed. Whoever awaits it gets
   * a {@link HostlerException} with the reason CANCELLED, unless it had ended before.
   *
   * @return its final state, and what was removed
   * @throws HostlerException if it cannot be cancelled
   */
  public CancelOperationResponse cancel() {
    String id = id();
    cancelled = true; // the same call again would begin the work again
    return hostler.call(
        OperationServiceGrpc.getCancelOperationMethod(),
        CancelOperationRequest.newBuilder().setOperationId(id).build());
  }

  /** The events from now on. */
  @Override
  public Iterator<OperationEvent> iterator() {
    return events;
  }

  /**
   * The events from now on, as a stream; closing it closes this.
   *
   * @return ordered, sequential
   */
  public Stream<OperationEvent> stream() {
    return EventStream.streamOf(events, this::close);
  }

  /**
   * Leaves: the daemon then cancels the operation, unless it is detached, has ended, or another
   * call waits for it.
   */
  @Override
  public void close() {
    closed = true;
    stream.close();
  }

  private final class Events implements Iterator<OperationEvent> {
    private OperationEvent next;
    private OperationEvent failed;
    private HostlerException failure;
    private boolean over;

    @Override
    public boolean hasNext() {
      while (next == null && !over) {
        advance();
      }
      if (next == null && failure != null) {
        throw failure;
      }
      return next != null;
    }

    @Override
    public OperationEvent next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      OperationEvent event = next;
      next = null;
      return event;
    }

    private void advance() {
      try {
        if (stream.hasNext()) {
          retries.answered();
          take(stream.next());
        } else if (last != null && last.hasResult()) {
          over = true;
        } else {
          // Some proxies end a stream well whose daemon is gone.
          throw new ConnectionException(hostler.address(), Problem.CONNECTION_LOST, null);
        }
      } catch (HostlerException error) {
        repeatOrEnd(error);
      }
    }

    /** The event of a failure is held back until it is known that the call is not made again. */
    private void take(OperationEvent event) {
      last = event;
      if (event.hasError()) {
        failed = event;
      } else {
        next = event;
      }
    }

    private void repeatOrEnd(HostlerException error) {
      try {
        retries.waitOrThrow(error, !closed && !cancelled && Retries.isPassing(error));
        failed = null;
        hostler.reconnect();
        open.run();
        if (closed) {
          stream.close();
        }
      } catch (HostlerException end) {
        over = true;
        failure = end;
        next = failed;
      }
    }
  }
}
