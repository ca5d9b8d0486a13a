package dev.hostler.client;

import dev.hostler.client.ConnectionException.Problem;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** A call whose requests stream out, as fast as they are taken; for one thread. */
final class Sender<Q, A> implements AutoCloseable {
  private final Hostler hostler;
  private final MethodDescriptor<Q, A> method;
  private final ClientCall<Q, A> call;
  private final CompletableFuture<A> answer = new CompletableFuture<>();
  private final Object turn = new Object();

  Sender(Hostler hostler, MethodDescriptor<Q, A> method) {
    this.hostler = hostler;
    this.method = method;
    call = hostler.channel().newCall(method, CallOptions.DEFAULT);
    call.start(new Listener(), new Metadata());
    call.request(1);
  }

  /** Waits until the message can be sent. Fails with HostlerException when the call has ended. */
  void send(Q message) {
    synchronized (turn) {
      while (!call.isReady() && !answer.isDone()) {
        waitForTurn();
      }
    }
    if (answer.isDone()) {
      // An answer before everything was sent: the daemon has let go of the stream.
      get();
      throw new ConnectionException(hostler.address(), Problem.CONNECTION_LOST, null);
    }
    call.sendMessage(message);
  }

  /** Says that nothing more comes, and waits for the answer. */
  A finish() {
    call.halfClose();
    return get();
  }

  /** Ends the call unless it has ended. */
  @Override
  public void close() {
    if (!answer.isDone()) {
      call.cancel("the file could not be sent", null);
    }
  }

  private void waitForTurn() {
    try {
      turn.wait();
    } catch (InterruptedException interrupted) {
      throw interrupted(interrupted);
    }
  }

  private A get() {
    try {
      return answer.get();
    } catch (InterruptedException interrupted) {
      throw interrupted(interrupted);
    } catch (ExecutionException failure) {
      throw (HostlerException) failure.getCause();
    }
  }

  private static HostlerException interrupted(InterruptedException cause) {
    Thread.currentThread().interrupt();
    return new HostlerException(
        Status.Code.CANCELLED, "this thread was interrupted", List.of(), cause);
  }

  private final class Listener extends ClientCall.Listener<A> {
    private A received;

    @Override
    public void onMessage(A message) {
      received = message;
    }

    @Override
    public void onReady() {
      wake();
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (status.isOk() && received != null) {
        answer.complete(received);
      } else {
        answer.completeExceptionally(
            hostler.failures().of(method, status.asRuntimeException(trailers)));
      }
      wake();
    }

    private void wake() {
      synchronized (turn) {
        turn.notifyAll();
      }
    }
  }
}
