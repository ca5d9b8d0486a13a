package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hostler.v1.DownloadImageRequest;
import dev.hostler.v1.ImageInfo;
import dev.hostler.v1.StartUploadRequest;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files that go up and down, also while the daemon is killed. */
class TransferTest {
  private static final int LENGTH = 48 * Messages.MIB + 1000;

  @TempDir Path folder;
  private final TestDaemon daemon = TestDaemon.get();
  private final Hostler hostler = Hostler.connect(daemon.plain());
  private final byte[] content = content();

  /** Random bytes with a long run of zeros within. */
  private static byte[] content() {
    byte[] bytes = Messages.random(LENGTH);
    Arrays.fill(bytes, 9 * Messages.MIB + 77, 30 * Messages.MIB, (byte) 0);
    return bytes;
  }

  @AfterEach
  void close() {
    hostler.close();
  }

  private Path file() throws IOException {
    return Files.write(folder.resolve("local.raw"), content);
  }

  private static StartUploadRequest to(String target) {
    return StartUploadRequest.newBuilder().setTarget(target).setFormat("raw").build();
  }

  private static DownloadImageRequest from(String path) {
    return DownloadImageRequest.newBuilder().setPath(path).build();
  }

  /** Kills the daemon once, past the middle of the file. */
  private TransferProgress killing(AtomicInteger restarts) {
    return (done, total) -> {
      if (done > LENGTH / 2 && restarts.compareAndSet(0, 1)) {
        daemon.order("kill");
      }
    };
  }

  @Test
  void upAndDown() throws IOException {
    String target = daemon.image("up.raw");
    ImageInfo info = hostler.upload(file(), to(target), TransferProgress.NONE);
    assertEquals(LENGTH, info.getFileLengthBytes());
    assertArrayEquals(content, Files.readAllBytes(Path.of(target)));
    Path down = folder.resolve("down.raw");
    long[] last = {0};
    assertEquals(
        LENGTH, hostler.download(from(target), down, false, (done, total) -> last[0] = done));
    assertEquals(LENGTH, last[0]);
    assertArrayEquals(content, Files.readAllBytes(down));
    assertThrows(
        FileAlreadyExistsException.class,
        () -> hostler.download(from(target), down, false, TransferProgress.NONE));
    assertEquals(LENGTH, hostler.download(from(target), down, true, TransferProgress.NONE));
    HostlerException exists =
        assertThrows(
            HostlerException.class,
            () -> hostler.upload(file(), to(target), TransferProgress.NONE));
    assertEquals("TARGET_EXISTS", exists.reason());
  }

  @Test
  void anUploadSurvivesAKill() throws IOException {
    String target = daemon.image("killed-up.raw");
    AtomicInteger kills = new AtomicInteger();
    hostler.upload(file(), to(target), killing(kills));
    assertEquals(1, kills.get());
    assertArrayEquals(content, Files.readAllBytes(Path.of(target)));
  }

  @Test
  void anUploadThatWasLeftGoesOn() throws IOException {
    String target = daemon.image("left.raw");
    IllegalStateException left =
        assertThrows(
            IllegalStateException.class,
            () ->
                hostler.upload(
                    file(),
                    to(target),
                    (done, total) -> {
                      if (done > LENGTH / 2) {
                        throw new IllegalStateException("enough");
                      }
                    }));
    assertEquals("enough", left.getMessage());
    long[] first = {-1};
    hostler.upload(
        file(), to(target), (done, total) -> first[0] = first[0] < 0 ? done : first[0]);
    assertTrue(first[0] > 0, "it began at " + first[0]);
    assertArrayEquals(content, Files.readAllBytes(Path.of(target)));
  }

  @Test
  void aDownloadSurvivesAKill() throws IOException {
    String path = daemon.image("killed-down.raw");
    Files.write(Path.of(path), content);
    Path down = folder.resolve("killed-down.raw");
    AtomicInteger kills = new AtomicInteger();
    assertEquals(LENGTH, hostler.download(from(path), down, false, killing(kills)));
    assertEquals(1, kills.get());
    assertArrayEquals(content, Files.readAllBytes(down));
  }

  @Test
  void aDownloadGoesOnAndBeginsAgainWhenTheImageIsAnother() throws IOException {
    String path = daemon.image("image.raw");
    Files.write(Path.of(path), content);
    Path down = folder.resolve("d.raw");
    Path part = folder.resolve(".d.raw.hostler-part");
    Files.write(part, Arrays.copyOf(content, 20 * Messages.MIB));
    long[] least = {Long.MAX_VALUE};
    hostler.download(from(path), down, false, (done, total) -> least[0] = Math.min(least[0], done));
    assertTrue(least[0] > 20 * Messages.MIB, "it began at " + least[0]);
    assertArrayEquals(content, Files.readAllBytes(down));
    for (int length : new int[] {1000, LENGTH + 1}) {
      Files.write(part, Messages.random(length));
      hostler.download(from(path), down, true, TransferProgress.NONE);
      assertArrayEquals(content, Files.readAllBytes(down));
      assertFalse(Files.exists(part));
    }
  }
}
