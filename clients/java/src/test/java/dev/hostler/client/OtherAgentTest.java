package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.hostler.v1.GetArchitectureRequest;
import dev.hostler.v1.GetArchitectureResponse;
import dev.hostler.v1.GetHostInfoRequest;
import dev.hostler.v1.GetHostInfoResponse;
import dev.hostler.v1.HostInfoServiceGrpc;
import dev.hostler.v1.ImageServiceGrpc;
import dev.hostler.v1.ResizeImageRequest;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Agents of versions that do not exist yet: another contract, and details of an unknown type. */
class OtherAgentTest {
  private static final Any UNKNOWN =
      Any.newBuilder()
          .setTypeUrl("type.googleapis.com/hostler.v9.Riddle")
          .setValue(ByteString.copyFromUtf8("\u0001?"))
          .build();

  /** Answers as a daemon of that contract; a question for an architecture has an odd error. */
  private static final class Agent extends HostInfoServiceGrpc.HostInfoServiceImplBase {
    private final String contract;

    Agent(String contract) {
      this.contract = contract;
    }

    @Override
    public void getHostInfo(
        GetHostInfoRequest request, StreamObserver<GetHostInfoResponse> answer) {
      answer.onNext(GetHostInfoResponse.newBuilder().setContractVersion(contract).build());
      answer.onCompleted();
    }

    @Override
    public void getArchitecture(
        GetArchitectureRequest request, StreamObserver<GetArchitectureResponse> answer) {
      ErrorInfo info =
          ErrorInfo.newBuilder().setReason("NEWER_REASON").putMetadata("path", "/x").build();
      RetryInfo delay =
          RetryInfo.newBuilder()
              .setRetryDelay(com.google.protobuf.Duration.newBuilder().setNanos(1_000_000))
              .build();
      answer.onError(
          StatusProto.toStatusRuntimeException(
              com.google.rpc.Status.newBuilder()
                  .setCode(9)
                  .setMessage("a riddle")
                  .addDetails(UNKNOWN)
                  .addDetails(Any.pack(info))
                  .addDetails(Any.pack(delay))
                  .build()));
    }
  }

  private static ConnectOptions options(Server server, RetryPolicy retries) {
    return ConnectOptions.defaults()
        .environment(Map.of())
        .address("tcp://127.0.0.1:" + server.getPort())
        .retries(retries);
  }

  private static Server serve(String contract) throws IOException {
    return NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0))
        .addService(new Agent(contract))
        .build()
        .start();
  }

  @Test
  void anotherContractIsAClearError() throws IOException {
    for (String contract : new String[] {"2.0", "10.1", ""}) {
      Server server = serve(contract);
      try {
        IncompatibleAgentException error =
            assertThrows(
                IncompatibleAgentException.class,
                () -> Hostler.connect(options(server, RetryPolicy.DEFAULT)).close());
        assertTrue(error.getMessage().contains("contract"), error.getMessage());
      } finally {
        server.shutdownNow();
      }
    }
  }

  /** A server of gRPC that has no hostler.v1 at all. */
  @Test
  void noContractOfThisVersionIsAClearError() throws IOException {
    Server server =
        NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", 0)).build().start();
    try {
      IncompatibleAgentException error =
          assertThrows(
              IncompatibleAgentException.class,
              () -> Hostler.connect(options(server, RetryPolicy.DEFAULT)).close());
      assertTrue(error.getMessage().contains("does not serve contract 1.x"), error.getMessage());
    } finally {
      server.shutdownNow();
    }
  }

  /** As a client of a later contract would call today's daemon. */
  @Test
  void anRpcThatTheDaemonLacksIsAClearError() {
    String name = "hostler.v1.ImageService/FoldImage";
    try (Hostler hostler = Hostler.connect(TestDaemon.get().plain())) {
      List<Runnable> calls =
          List.of(
              () ->
                  hostler.call(
                      HostInfoServiceGrpc.getGetHostInfoMethod().toBuilder()
                          .setFullMethodName(name)
                          .build(),
                      GetHostInfoRequest.getDefaultInstance()),
              () ->
                  hostler
                      .start(
                          ImageServiceGrpc.getResizeImageMethod().toBuilder()
                              .setFullMethodName(name)
                              .build(),
                          ResizeImageRequest.getDefaultInstance())
                      .await());
      for (Runnable call : calls) {
        HostlerException error = assertThrows(HostlerException.class, call::run);
        assertEquals(Status.Code.UNIMPLEMENTED, error.code());
        assertTrue(
            error.getMessage().contains("does not serve " + name + ": it is of another version"),
            error.getMessage());
      }
    }
  }

  private static HostlerException failure(Hostler hostler) {
    return assertThrows(
        HostlerException.class,
        () ->
            hostler.call(
                HostInfoServiceGrpc.getGetArchitectureMethod(),
                GetArchitectureRequest.getDefaultInstance()));
  }

  @Test
  void detailsOfAnUnknownTypeAreKept() throws IOException {
    Server server = serve("1.7");
    try (Hostler hostler = Hostler.connect(options(server, RetryPolicy.NEVER))) {
      HostlerException error = failure(hostler);
      assertEquals("NEWER_REASON", error.reason());
      assertEquals(Map.of("path", "/x"), error.facts());
      assertEquals(Duration.ofMillis(1), error.retryDelay().orElseThrow());
      assertEquals(UNKNOWN, error.details().get(0));
      assertEquals(3, error.details().size());
    } finally {
      server.shutdownNow();
    }
  }

  @Test
  void patienceIsBounded() throws IOException {
    Server server = serve("1.0");
    RetryPolicy little =
        new RetryPolicy(Duration.ofMillis(200), 3, Duration.ofMillis(1), Duration.ofMillis(10));
    try (Hostler hostler = Hostler.connect(options(server, little))) {
      HostlerException error = failure(hostler);
      assertEquals("NEWER_REASON", error.reason());
    } finally {
      server.shutdownNow();
    }
  }
}
