package dev.hostler.client;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

/** A real daemon of clients/testing/daemon.sh, one for all tests; it ends with this process. */
final class TestDaemon {
  static final Path REPOSITORY = Path.of("../..").toAbsolutePath().normalize();
  private static final AtomicInteger NAMES = new AtomicInteger();
  private static TestDaemon shared;

  private final Process process;
  private final BufferedReader answers;
  private final JsonObject facts;

  private TestDaemon() throws IOException {
    Path folder = Files.createTempDirectory("hostler-java-");
    String script = REPOSITORY.resolve("clients/testing/daemon.sh").toString();
    process =
        new ProcessBuilder(script, folder.resolve("d").toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    answers =
        new BufferedReader(
            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(folder)));
    String line = answers.readLine();
    if (line == null) {
      throw new IOException("daemon.sh has said nothing");
    }
    facts = JsonParser.parseString(line).getAsJsonObject();
  }

  static synchronized TestDaemon get() {
    try {
      if (shared == null) {
        shared = new TestDaemon();
      }
      return shared;
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private void end(Path folder) {
    try {
      process.getOutputStream().close();
      process.waitFor();
      try (Stream<Path> all = Files.walk(folder)) {
        for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(path);
        }
      }
    } catch (IOException | InterruptedException error) {
      System.err.println("the test daemon could not be removed: " + error);
    }
  }

  /** kill, stop or start; returns when it is done. */
  synchronized void order(String order) {
    try {
      OutputStream orders = process.getOutputStream();
      orders.write((order + "\n").getBytes(StandardCharsets.UTF_8));
      orders.flush();
      String answer = answers.readLine();
      if (!"ok".equals(answer)) {
        throw new IllegalStateException(order + ": " + answer);
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  String fact(String name) {
    return facts.get(name).getAsString();
  }

  Path folder() {
    return Path.of(fact("folder"));
  }

  Path pki(String name) {
    return folder().resolve("pki").resolve(name);
  }

  /** A path in the root that no other test uses. */
  String image(String name) {
    return fact("root") + "/" + NAMES.incrementAndGet() + "-" + name;
  }

  /** A file of this content at the web server; its URL. */
  String serve(String name, byte[] content) throws IOException {
    Files.write(folder().resolve("www").resolve(name), content);
    return "http://127.0.0.1:" + fact("www") + "/" + name;
  }

  ConnectOptions plain() {
    return ConnectOptions.defaults().environment(Map.of()).address(fact("socket"));
  }

  /** Over mutual TLS, as the caller of pki/NAME.pem. */
  ConnectOptions tls(String name) {
    return ConnectOptions.defaults()
        .environment(Map.of())
        .address("tcp://" + fact("tls"))
        .tls(pki("ca.pem"), pki(name + ".pem"), pki(name + ".key"));
  }

  static void run(List<String> command) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    if (process.waitFor() != 0) {
      throw new IOException(String.join(" ", command) + " has failed");
    }
  }
}
