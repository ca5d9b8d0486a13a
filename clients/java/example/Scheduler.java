import dev.hostler.client.HostlerException;
import dev.hostler.client.Hostler;
import dev.hostler.client.Operation;
import dev.hostler.client.Watch;
import dev.hostler.v1.CancelOperationRequest;
import dev.hostler.v1.CancelledOperation;
import dev.hostler.v1.Checksum;
import dev.hostler.v1.CreateOverlayRequest;
import dev.hostler.v1.FetchImageRequest;
import dev.hostler.v1.FetchResult;
import dev.hostler.v1.HttpSource;
import dev.hostler.v1.ImageResult;
import dev.hostler.v1.ImageServiceGrpc;
import dev.hostler.v1.ImageSource;
import dev.hostler.v1.OperationEvent;
import dev.hostler.v1.OperationFilter;
import dev.hostler.v1.OperationServiceGrpc;
import dev.hostler.v1.ResizeImageRequest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * A small scheduler: it makes the disk of a new machine from an image of a web server, and shows
 * what else a scheduler needs. The daemon is the one of the environment or the current context.
 *
 * <pre>java -cp CLASSPATH example/Scheduler.java ROOT URL SHA256 [ORDERS]</pre>
 *
 * ROOT is a folder for images on the daemon's host, and URL a raw image of some MiB. ORDERS is a
 * file into which "kill" is written to have the daemon killed and started again, as in
 * clients/testing/daemon.sh.
 */
final class Scheduler {
  private static final String LABEL = "machine";
  private static final long RATE = 8 << 20;

  private final Hostler hostler;
  private final String root;
  private final ImageSource source;
  private final Checksum checksum;
  private final String machine = "vm-" + UUID.randomUUID();

  private Scheduler(Hostler hostler, String root, String url, String sha256) {
    this.hostler = hostler;
    this.root = root;
    source = ImageSource.newBuilder().setHttp(HttpSource.newBuilder().setUrl(url)).build();
    checksum = Checksum.newBuilder().setAlgorithm("sha256").setDigest(sha256).build();
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length < 3) {
      System.err.println("usage: Scheduler ROOT URL SHA256 [ORDERS]");
      System.exit(2);
    }
    try (Hostler hostler = Hostler.connect()) {
      String version = hostler.hostInfo().getAgentVersion();
      say("connected to " + hostler.address() + ", hostlerd " + version);
      hostler.require("cursors");
      Scheduler scheduler = new Scheduler(hostler, arguments[0], arguments[1], arguments[2]);
      scheduler.makeDisk();
      scheduler.readError();
      scheduler.cancelByLabel();
      if (arguments.length > 3) {
        scheduler.surviveKill(Path.of(arguments[3]));
      }
      say("done");
    }
  }

  private static void say(String line) {
    System.out.println(line);
  }

  private static void show(OperationEvent event) {
    say("  " + event.getState() + " " + event.getProgress().getDoneBytes() + " bytes");
  }

  private FetchImageRequest.Builder fetch(String target) {
    return FetchImageRequest.newBuilder()
        .setSource(source)
        .setSourceFormat("raw")
        .setTarget(target)
        .setChecksum(checksum)
        .putLabels(LABEL, machine);
  }

  /** Fetches the image through the cache, puts an overlay on it, and gives that its size. */
  private void makeDisk() throws Exception {
    // A second connection watches meanwhile, as another part of a scheduler would.
    OperationFilter mine = OperationFilter.newBuilder().putLabels(LABEL, machine).build();
    var thread = Executors.newSingleThreadExecutor();
    try (Hostler second = Hostler.connect();
        Watch watch = second.watch(mine, "")) {
      Future<List<String>> ended =
          thread.submit(
              () ->
                  watch.stream()
                      .filter(seen -> seen.getEvent().hasResult())
                      .filter(seen -> !seen.getMethod().equals("FillCache"))
                      .map(seen -> seen.getMethod())
                      .limit(3)
                      .toList());
      String base = root + "/" + machine + "-base.raw";
      FetchResult fetched =
          hostler
              .start(
                  ImageServiceGrpc.getFetchImageMethod(), fetch(base).setUseCache(true).build())
              .onEvent(Scheduler::show)
              .await(FetchResult.class);
      say("fetched " + base + ", " + fetched.getChecksum());
      String disk = root + "/" + machine + ".qcow2";
      CreateOverlayRequest overlay =
          CreateOverlayRequest.newBuilder()
              .setPath(disk)
              .setBackingFile(base)
              .setBackingFormat("raw")
              .putLabels(LABEL, machine)
              .build();
      hostler.start(ImageServiceGrpc.getCreateOverlayMethod(), overlay).await();
      ResizeImageRequest resize =
          ResizeImageRequest.newBuilder()
              .setPath(disk)
              .setFormat("qcow2")
              .setSize("10G")
              .putLabels(LABEL, machine)
              .build();
      ImageResult resized =
          hostler
              .start(ImageServiceGrpc.getResizeImageMethod(), resize)
              .await(ImageResult.class);
      say("disk " + disk + " of " + resized.getInfo().getVirtualSizeBytes() + " bytes");
      say("the second connection has seen " + ended.get());
    } finally {
      thread.shutdownNow();
    }
  }

  /** The target is there: the reason says so, whatever the words of the message. */
  private void readError() {
    FetchImageRequest request = fetch(root + "/" + machine + ".qcow2").build();
    try {
      hostler.start(ImageServiceGrpc.getFetchImageMethod(), request).await();
      throw new IllegalStateException("an existing target was replaced");
    } catch (HostlerException error) {
      if (!error.reason().equals("TARGET_EXISTS")) {
        throw error;
      }
      say("refused with " + error.reason() + " " + error.facts());
    }
  }

  /** A machine is not wanted any more: everything that works for it is cancelled. */
  private void cancelByLabel() {
    String target = root + "/" + machine + "-unwanted.raw";
    Operation unwanted =
        hostler.start(
            ImageServiceGrpc.getFetchImageMethod(),
            fetch(target).setBandwidthBytesPerSecond(1 << 20).build());
    say("started " + unwanted.id());
    CompletableFuture<?> ending = unwanted.future();
    CancelOperationRequest cancel =
        CancelOperationRequest.newBuilder().putLabels(LABEL, machine).build();
    for (CancelledOperation each :
        hostler
            .call(OperationServiceGrpc.getCancelOperationMethod(), cancel)
            .getOperationsList()) {
      say("cancelled " + each.getOperationId() + ": " + each.getState());
    }
    try {
      ending.join();
      throw new IllegalStateException("the cancelled operation has succeeded");
    } catch (CompletionException failed) {
      say("its caller got " + ((HostlerException) failed.getCause()).reason());
    }
  }

  /** The daemon is killed in the middle; the call is made again, under the same request id. */
  private void surviveKill(Path orders) {
    FetchImageRequest request =
        fetch(root + "/" + machine + "-data.raw").setBandwidthBytesPerSecond(RATE).build();
    boolean[] killed = {false};
    Operation operation =
        hostler
            .start(ImageServiceGrpc.getFetchImageMethod(), request)
            .onEvent(
                event -> {
                  show(event);
                  if (!killed[0] && event.getProgress().getDoneBytes() > 0) {
                    killed[0] = true;
                    order(orders, "kill");
                  }
                });
    FetchResult survived = operation.await(FetchResult.class);
    say("survived kill -9: " + survived.getChecksum() + ", operation " + operation.id());
    FetchImageRequest same = request.toBuilder().setRequestId(operation.requestId()).build();
    boolean replayed =
        hostler.start(ImageServiceGrpc.getFetchImageMethod(), same).await().getReplayed();
    if (!killed[0] || !replayed) {
      throw new IllegalStateException("killed: " + killed[0] + ", replayed: " + replayed);
    }
    say("the same call again was answered with the first result");
  }

  private static void order(Path orders, String order) {
    try {
      Files.writeString(orders, order + "\n");
      say("  kill -9 of the daemon");
    } catch (java.io.IOException error) {
      throw new java.io.UncheckedIOException(error);
    }
  }
}
