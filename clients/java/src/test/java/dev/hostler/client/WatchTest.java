package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hostler.v1.CreateImageRequest;
import dev.hostler.v1.ImageServiceGrpc;
import dev.hostler.v1.OperationFilter;
import dev.hostler.v1.OperationState;
import dev.hostler.v1.WatchOperationsResponse;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Watches that go on where they ended. */
class WatchTest {
  private final TestDaemon daemon = TestDaemon.get();

  private static OperationFilter labelled(String value) {
    return OperationFilter.newBuilder()
        .putLabels("test", value)
        .addStates(OperationState.OPERATION_STATE_SUCCEEDED)
        .build();
  }

  private String make(Hostler hostler, String label) {
    String path = daemon.image(label);
    CreateImageRequest request =
        Messages.create(path).toBuilder().putLabels("test", label).build();
    hostler.start(ImageServiceGrpc.getCreateImageMethod(), request).await();
    return path;
  }

  @Test
  void nothingIsMissedOverRestarts() {
    try (Hostler hostler = Hostler.connect(daemon.plain());
        Hostler watcher = Hostler.connect(daemon.tls("viewer"));
        Watch watch = watcher.watch(labelled("restart"), "")) {
      List<String> made = new ArrayList<>();
      List<String> seen = new ArrayList<>();
      // Before the first event was read there is no cursor of an event yet.
      daemon.order("kill");
      made.add(make(hostler, "restart"));
      seen.add(watch.next().getAddresses(0));
      daemon.order("kill");
      made.add(make(hostler, "restart"));
      daemon.order("stop");
      daemon.order("start");
      made.add(make(hostler, "restart"));
      seen.add(watch.next().getAddresses(0));
      seen.add(watch.next().getAddresses(0));
      assertEquals(made, seen);
    }
  }

  @Test
  void aLaterWatchGoesOnAtTheCursor() {
    try (Hostler hostler = Hostler.connect(daemon.plain())) {
      String cursor;
      try (Watch watch = hostler.watch(labelled("later"), "")) {
        make(hostler, "later");
        WatchOperationsResponse first = watch.next();
        cursor = watch.cursor();
        assertEquals(first.getCursor(), cursor);
      }
      String second = make(hostler, "later");
      try (Watch watch = hostler.watch(labelled("later"), cursor)) {
        assertEquals(second, watch.next().getAddresses(0));
      }
    }
  }

  @Test
  void aCursorThatCannotBeUsedIsHandedToTheCaller() {
    try (Hostler hostler = Hostler.connect(daemon.plain());
        Watch watch = hostler.watch(Messages.ALL, "nonsense")) {
      HostlerException error = assertThrows(HostlerException.class, watch::hasNext);
      assertEquals("INVALID_FIELD", error.reason());
    }
  }

  @Test
  void aClosedWatchEnds() throws Exception {
    try (Hostler hostler = Hostler.connect(daemon.plain())) {
      Watch watch = hostler.watch(labelled("never"), "");
      var waiting = Hostler.inThread(watch::hasNext);
      watch.close();
      assertFalse(waiting.get());
      assertTrue(hostler.hostInfo().getFeaturesList().contains("cursors"));
    }
  }
}
