package dev.hostler.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * The answers of one call as they come, in order. Read by one thread; {@link #close} may come from
 * another. Iterating fails with {@link HostlerException}. Close it unless it was read to its end.
 *
 * @param <A> the type of an answer
 */
public final class EventStream<A> implements Iterator<A>, AutoCloseable {
  private final Context.CancellableContext context = Context.ROOT.withCancellation();
  private final Iterator<A> answers;
  private final Failures failures;
  private final MethodDescriptor<?, A> method;

  <Q> EventStream(Channel channel, Failures failures, MethodDescriptor<Q, A> method, Q request) {
    this.failures = failures;
    this.method = method;
    Context before = context.attach();
    try {
      answers =
          ClientCalls.blockingServerStreamingCall(channel, method, CallOptions.DEFAULT, request);
    } finally {
      context.detach(before);
    }
  }

  @Override
  public boolean hasNext() {
    try {
      return answers.hasNext();
    } catch (StatusRuntimeException error) {
      close();
      throw failures.of(method, error);
    }
  }

  @Override
  public A next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return answers.next();
  }

  /**
   * The answers as a stream; closing it closes this.
   *
   * @return ordered, sequential, without nulls
   */
  public Stream<A> stream() {
    return streamOf(this, this::close);
  }

  static <T> Stream<T> streamOf(Iterator<T> iterator, Runnable close) {
    int traits = Spliterator.ORDERED | Spliterator.NONNULL;
    return StreamSupport.stream(Spliterators.spliteratorUnknownSize(iterator, traits), false)
        .onClose(close);
  }

  /** Ends the call; whoever waits for an answer gets a {@link HostlerException} with CANCELLED. */
  @Override
  public void close() {
    context.cancel(null);
  }
}
