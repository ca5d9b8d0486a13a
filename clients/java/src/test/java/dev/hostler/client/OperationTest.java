package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import dev.hostler.v1.CommandServiceOuterClass;
import dev.hostler.v1.CreateImageRequest;
import dev.hostler.v1.FetchImageRequest;
import dev.hostler.v1.FetchResult;
import dev.hostler.v1.FileServiceOuterClass;
import dev.hostler.v1.GetImageInfoRequest;
import dev.hostler.v1.ImageResult;
import dev.hostler.v1.ImageServiceGrpc;
import dev.hostler.v1.ImageServiceOuterClass;
import dev.hostler.v1.OperationEvent;
import dev.hostler.v1.OperationResult;
import dev.hostler.v1.OperationState;
import dev.hostler.v1.Plan;
import io.grpc.Status;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Operations, their errors, and what becomes of them when the daemon is killed. */
class OperationTest {
  private final TestDaemon daemon = TestDaemon.get();
  private final Hostler hostler = Hostler.connect(daemon.plain());

  @AfterEach
  void close() {
    hostler.close();
  }

  private static HostlerException failure(Runnable work) {
    return assertThrows(HostlerException.class, work::run);
  }

  private Operation create(CreateImageRequest request) {
    return hostler.start(ImageServiceGrpc.getCreateImageMethod(), request);
  }

  @Test
  void anImageIsMadeOnceAndReplayed() {
    CreateImageRequest request = Messages.create(daemon.image("one.qcow2"));
    List<OperationEvent> heard = new ArrayList<>();
    Operation first = create(request).onEvent(heard::add);
    ImageResult result = first.await(ImageResult.class);
    assertEquals(Messages.MIB, result.getInfo().getVirtualSizeBytes());
    assertEquals(
        OperationState.OPERATION_STATE_SUCCEEDED, heard.get(heard.size() - 1).getState());
    CreateImageRequest same = request.toBuilder().setRequestId(first.requestId()).build();
    OperationResult again = create(same).future().join();
    assertTrue(again.getReplayed());
    assertEquals(result, again.getImage());
    assertEquals("TARGET_EXISTS", failure(() -> create(request).await()).reason());
  }

  @Test
  void eventsCanBeIteratedAndAFailureIsTheLast() {
    String path = daemon.image("iterated.qcow2");
    List<OperationEvent> events = new ArrayList<>();
    create(Messages.create(path)).forEach(events::add);
    assertTrue(events.get(events.size() - 1).hasResult());
    Operation failing = create(Messages.create(path));
    List<OperationEvent> seen = new ArrayList<>();
    HostlerException error = failure(() -> failing.forEach(seen::add));
    assertEquals("TARGET_EXISTS", error.reason());
    for (OperationEvent event : seen) {
      assertFalse(event.hasResult());
    }
    try (Stream<OperationEvent> stream = create(Messages.create(daemon.image("s"))).stream()) {
      assertEquals(1, stream.filter(OperationEvent::hasResult).count());
    }
  }

  @Test
  void aPlanAndTheWrongTypeOfAResult() {
    CreateImageRequest plan =
        Messages.create(daemon.image("planned")).toBuilder().setPlanOnly(true).build();
    assertFalse(create(plan).await(Plan.class).getMethod().isEmpty());
    assertThrows(
        IllegalArgumentException.class, () -> create(plan).await(ImageResult.class));
  }

  @Test
  void errorsHaveReasonFactsAndFields() {
    String path = daemon.image("none");
    GetImageInfoRequest request = GetImageInfoRequest.newBuilder().setPath(path).build();
    HostlerException missing =
        failure(() -> hostler.call(ImageServiceGrpc.getGetImageInfoMethod(), request));
    assertEquals("IMAGE_NOT_FOUND", missing.reason());
    assertEquals(Status.Code.NOT_FOUND, missing.code());
    assertEquals(path, missing.facts().get("path"));
    assertTrue(missing.retryDelay().isEmpty());
    HostlerException wrong =
        failure(() -> create(CreateImageRequest.getDefaultInstance()).await());
    assertEquals("INVALID_FIELD", wrong.reason());
    assertTrue(
        wrong.fieldViolations().stream().anyMatch(field -> field.getField().equals("path")));
    CompletionException later =
        assertThrows(
            CompletionException.class,
            () -> hostler.callAsync(ImageServiceGrpc.getGetImageInfoMethod(), request).join());
    assertEquals("IMAGE_NOT_FOUND", ((HostlerException) later.getCause()).reason());
  }

  @Test
  void aCancelEndsIt() throws IOException {
    byte[] content = Messages.random(32 * Messages.MIB);
    String url = daemon.serve("cancelled.raw", content);
    String target = daemon.image("cancelled.raw");
    Operation fetch =
        hostler.start(
            ImageServiceGrpc.getFetchImageMethod(),
            Messages.slowFetch(url, target, content, 1));
    CompletableFuture<OperationResult> ending = fetch.future();
    assertEquals(
        OperationState.OPERATION_STATE_CANCELLED, fetch.cancel().getOperations(0).getState());
    CompletionException error = assertThrows(CompletionException.class, ending::join);
    assertEquals("CANCELLED", ((HostlerException) error.getCause()).reason());
  }

  @Test
  void aKillInTheMiddleIsSurvivedAndTheResultReplayed() throws IOException {
    byte[] content = Messages.random(8 * Messages.MIB);
    String url = daemon.serve("killed.raw", content);
    FetchImageRequest request =
        Messages.slowFetch(url, daemon.image("killed.raw"), content, 4);
    Operation fetch = hostler.start(ImageServiceGrpc.getFetchImageMethod(), request);
    List<String> ids = new ArrayList<>();
    fetch.onEvent(
        event -> {
          if (ids.isEmpty() && event.getProgress().getDoneBytes() > 0) {
            daemon.order("kill");
          }
          if (event.getProgress().getDoneBytes() > 0) {
            ids.add(event.getOperationId());
          }
        });
    FetchResult result = fetch.await(FetchResult.class);
    assertEquals("sha256:" + Messages.sha256(content), result.getChecksum());
    assertEquals(2, ids.stream().distinct().count(), "the killed one, and the one after it");
    OperationResult again =
        hostler
            .start(
                ImageServiceGrpc.getFetchImageMethod(),
                request.toBuilder().setRequestId(fetch.requestId()).build())
            .await();
    assertTrue(again.getReplayed());
    assertEquals(result, again.getFetch());
  }

  @Test
  void withoutPatienceAKillIsHandedToTheCaller() throws IOException {
    byte[] content = Messages.random(8 * Messages.MIB);
    String url = daemon.serve("impatient.raw", content);
    try (Hostler impatient =
        Hostler.connect(daemon.plain().retries(RetryPolicy.NEVER))) {
      Operation fetch =
          impatient.start(
              ImageServiceGrpc.getFetchImageMethod(),
              Messages.slowFetch(url, daemon.image("impatient.raw"), content, 1));
      fetch.id();
      daemon.order("kill");
      HostlerException error = failure(fetch::await);
      assertEquals(
          ConnectionException.Problem.CONNECTION_LOST, ((ConnectionException) error).problem());
    }
  }

  @Test
  void aCallIsMadeAgainAfterARestart() {
    daemon.order("kill");
    Operation made = create(Messages.create(daemon.image("after")));
    assertTrue(made.await().hasImage());
  }

  @Test
  void everyOperationOfTheContractHasARequestId() {
    int operations = 0;
    for (ServiceDescriptor service :
        List.of(
            ImageServiceOuterClass.getDescriptor().findServiceByName("ImageService"),
            FileServiceOuterClass.getDescriptor().findServiceByName("FileService"),
            CommandServiceOuterClass.getDescriptor().findServiceByName("CommandService"))) {
      for (MethodDescriptor method : service.getMethods()) {
        if (method.getOutputType().equals(OperationEvent.getDescriptor())) {
          operations++;
          assertTrue(
              method.getInputType().findFieldByName("request_id") != null, method.getFullName());
        }
      }
    }
    assertTrue(operations > 20, operations + " operations");
  }
}
