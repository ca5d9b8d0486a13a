package dev.hostler.client;

import dev.hostler.v1.GetHostInfoRequest;
import dev.hostler.v1.GetHostInfoResponse;
import dev.hostler.v1.HostInfoServiceGrpc;
import dev.hostler.v1.ImageInfo;
import dev.hostler.v1.DownloadImageRequest;
import dev.hostler.v1.OperationEvent;
import dev.hostler.v1.OperationFilter;
import dev.hostler.v1.StartUploadRequest;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * A connection to one daemon. It may be used by many threads at a time. Every RPC of the contract
 * is called by its generated description:
 *
 * <pre>{@code
 * try (Hostler hostler = Hostler.connect()) {
 *   ImageResult made =
 *       hostler.start(ImageServiceGrpc.getCreateImageMethod(), request).await(ImageResult.class);
 * }
 * }</pre>
 *
 * <p>A call whose connection is lost is made again with the same request id, as long as the {@link
 * RetryPolicy} allows. A request that has a field for such an id and leaves it empty gets one.
 */
public final class Hostler implements AutoCloseable {
  /** The major version of the contract that this client is generated from: package hostler.v1. */
  private static final String CONTRACT_MAJOR = "1";

  private static final long CLOSE_SECONDS = 5;

  private final Settings settings;
  private final Endpoint.Made made;
  private final Failures failures;
  private final RetryPolicy policy;
  private final GetHostInfoResponse info;

  private Hostler(ConnectOptions options) {
    settings = Settings.resolve(options);
    Endpoint endpoint = new Endpoint(settings.address(), settings.tls());
    policy = options.retryPolicy();
    failures = new Failures(endpoint);
    made = endpoint.channel();
    boolean connected = false;
    try {
      info = ask();
      assertContract(info.getContractVersion());
      connected = true;
    } finally {
      if (!connected) {
        close();
      }
    }
  }

  /**
   * Connects as the environment or the current context says.
   *
   * @return a client that has reached its daemon
   */
  public static Hostler connect() {
    return connect(ConnectOptions.defaults());
  }

  /**
   * Connects, and asks the daemon what it is. A daemon that is not there is not waited for.
   *
   * @param options which daemon, and how
   * @return a client that has reached its daemon
   * @throws ConfigurationException if the options, the environment or a file is wrong
   * @throws ConnectionException if there is no connection; {@code problem()} says why
   * @throws HostlerException if the daemon refuses this caller, with NOT_AUTHENTICATED or
   *     METHOD_NOT_ALLOWED
   * @throws IncompatibleAgentException if the daemon serves another contract
   */
  public static Hostler connect(ConnectOptions options) {
    return new Hostler(options);
  }

  private GetHostInfoResponse ask() {
    try {
      GetHostInfoRequest question = GetHostInfoRequest.getDefaultInstance();
      return once(HostInfoServiceGrpc.getGetHostInfoMethod(), question);
    } catch (HostlerException error) {
      if (error.code() == Status.Code.UNIMPLEMENTED && error.details().isEmpty()) {
        throw new IncompatibleAgentException(
            "what answers at %s does not serve contract %s.x: it is a daemon of another major version, or none"
                .formatted(address(), CONTRACT_MAJOR));
      }
      throw error;
    }
  }

  private static void assertContract(String version) {
    if (!version.split("\\.", 2)[0].equals(CONTRACT_MAJOR)) {
      throw new IncompatibleAgentException(
          version.isEmpty()
              ? "the daemon does not say which contract it serves: it is older than this client"
              : "the daemon serves contract %s, and this client needs %s.x"
                  .formatted(version, CONTRACT_MAJOR));
    }
  }

  /**
   * The address of the daemon.
   *
   * @return as it was given
   */
  public String address() {
    return settings.address();
  }

  /**
   * The folder for images that the context names.
   *
   * @return empty if the address came from elsewhere, or the context names none
   */
  public Optional<String> root() {
    return settings.root();
  }

  /**
   * What the daemon said about itself and its host when this client connected.
   *
   * @return version, tools, roots, features …
   */
  public GetHostInfoResponse hostInfo() {
    return info;
  }

  /**
   * Asserts that the daemon serves a part of the contract that not every daemon serves.
   *
   * @param feature a word of GetHostInfo.features, such as {@code cursors}
   * @throws IncompatibleAgentException if it does not
   */
  public void require(String feature) {
    if (!info.getFeaturesList().contains(feature)) {
      throw new IncompatibleAgentException(
          "the daemon at " + address() + " has no " + feature + "; it has: "
              + String.join(" ", info.getFeaturesList()));
    }
  }

  /**
   * Calls an RPC with one answer.
   *
   * @param <Q> the type of the request
   * @param <A> the type of the answer
   * @param method such as {@code ImageServiceGrpc.getGetImageInfoMethod()}
   * @param request what to ask
   * @return the answer
   * @throws HostlerException if it fails
   */
  public <Q, A> A call(MethodDescriptor<Q, A> method, Q request) {
    Q same = Requests.withId(request);
    return retrying(() -> once(method, same));
  }

  /**
   * Calls an RPC with one answer, and waits in a thread of its own.
   *
   * @param <Q> the type of the request
   * @param <A> the type of the answer
   * @param method as in {@link #call}
   * @param request what to ask
   * @return fails with a {@link HostlerException} as its cause
   */
  public <Q, A> CompletableFuture<A> callAsync(MethodDescriptor<Q, A> method, Q request) {
    return inThread(() -> call(method, request));
  }

  /**
   * Calls an RPC whose answers stream in and that is no operation, such as MapImage.
   *
   * @param <Q> the type of the request
   * @param <A> the type of an answer
   * @param method such as {@code ImageServiceGrpc.getMapImageMethod()}
   * @param request what to ask
   * @return its answers; close it
   */
  public <Q, A> EventStream<A> stream(MethodDescriptor<Q, A> method, Q request) {
    return new EventStream<>(made.channel(), failures, method, request);
  }

  /**
   * Starts an operation: any RPC that returns a stream of OperationEvent.
   *
   * @param <Q> the type of the request
   * @param method such as {@code ImageServiceGrpc.getConvertImageMethod()}
   * @param request what to do
   * @return the operation; await or iterate it, or close it
   */
  public <Q> Operation start(MethodDescriptor<Q, OperationEvent> method, Q request) {
    return new Operation(this, method, Requests.withId(request));
  }

  /**
   * Watches all operations that match, over lost connections and restarts of the daemon.
   *
   * @param filter which ones; the default instance: all
   * @param cursor of an earlier watch, event or list; empty: begin with the unfinished ones
   * @return what happens, without an end; close it
   */
  public Watch watch(OperationFilter filter, String cursor) {
    return new Watch(this, filter, cursor);
  }

  /**
   * Uploads a file. When the connection or the daemon goes away, or this program is started again
   * with the same file and request, it goes on after the last byte that
   * the daemon has made durable.
   *
   * @param file a local file, which must not change meanwhile; it is read twice
   * @param request target, format and what else is wanted; lengths and checksum are filled in
   * @param progress hears how far it is
   * @return the published image
   * @throws IOException if the local file cannot be read
   */
  public ImageInfo upload(Path file, StartUploadRequest request, TransferProgress progress)
      throws IOException {
    return new Uploader(this, progress).upload(file, request);
  }

  /**
   * Downloads an image file. It gets its name when it is complete and its digest agrees; until then
   * it lies beside it, as {@code .NAME.hostler-part}. When the connection or the daemon goes away,
   * or this program is started again, it goes on there; the digest of a file that came in parts is
   * compared with DigestImage. With {@code allow_in_use} it begins again instead.
   *
   * @param request path and what else is wanted; always the whole file
   * @param target the local file
   * @param overwrite replace an existing file
   * @param progress hears how far it is
   * @return the length of the file
   * @throws IOException if the local file cannot be written, or is there
   */
  public long download(
      DownloadImageRequest request, Path target, boolean overwrite, TransferProgress progress)
      throws IOException {
    return new Downloader(this, progress).download(request, target, overwrite);
  }

  /**
   * The channel below, for generated stubs; what they throw is grpc's.
   *
   * @return closed with this client
   */
  public ManagedChannel channel() {
    return made.channel();
  }

  @Override
  public void close() {
    ManagedChannel channel = made.channel().shutdownNow();
    try {
      channel.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    if (made.loop() != null) {
      made.loop().shutdownGracefully(0, CLOSE_SECONDS, TimeUnit.SECONDS);
    }
  }

  /** One attempt. */
  <Q, A> A once(MethodDescriptor<Q, A> method, Q request) {
    try {
      return ClientCalls.blockingUnaryCall(made.channel(), method, CallOptions.DEFAULT, request);
    } catch (StatusRuntimeException error) {
      throw failures.of(method, error);
    }
  }

  /** Attempts until one succeeds, or fails for good. */
  <A> A retrying(Supplier<A> attempt) {
    Retries retries = retries();
    while (true) {
      try {
        return attempt.get();
      } catch (HostlerException failure) {
        retries.waitOrThrow(failure);
        reconnect();
      }
    }
  }

  Retries retries() {
    return new Retries(policy);
  }

  Failures failures() {
    return failures;
  }

  /** The next call tries to connect at once, however long grpc would wait. */
  void reconnect() {
    made.channel().resetConnectBackoff();
  }

  static <A> CompletableFuture<A> inThread(Supplier<A> work) {
    CompletableFuture<A> future = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                future.complete(work.get());
              } catch (RuntimeException | Error failure) {
                future.completeExceptionally(failure);
              }
            },
            "hostler-client");
    thread.setDaemon(true);
    thread.start();
    return future;
  }
}
