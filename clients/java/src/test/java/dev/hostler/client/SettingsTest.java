package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Arguments, environment and contexts: which wins, and what their mistakes are called. */
class SettingsTest {
  private static final String TWO =
      """
      {"current": "near", "contexts": {
        "near": {"address": "unix:///near", "root": "/srv/images"},
        "far": {"address": "tcp://far:1", "tls_ca": "/a", "tls_cert": "/c", "tls_key": "/k"}}}
      """;

  @TempDir Path home;

  private ConnectOptions options(String... variables) {
    Map<String, String> environment = new HashMap<>(Map.of("XDG_CONFIG_HOME", home.toString()));
    for (int at = 0; at < variables.length; at += 2) {
      environment.put(variables[at], variables[at + 1]);
    }
    return ConnectOptions.defaults().environment(environment);
  }

  private void contexts(String json) throws IOException {
    Files.createDirectories(home.resolve("hostler"));
    Files.writeString(home.resolve("hostler/contexts.json"), json);
  }

  private static String mistake(ConnectOptions options) {
    return assertThrows(ConfigurationException.class, () -> Hostler.connect(options).close())
        .getMessage();
  }

  @Test
  void argumentsWinOverTheEnvironmentAndThatOverContexts() throws IOException {
    assertEquals(ConnectOptions.DEFAULT_ADDRESS, Settings.resolve(options()).address());
    contexts(TWO);
    Settings near = Settings.resolve(options());
    assertEquals("unix:///near", near.address());
    assertEquals("/srv/images", near.root().orElseThrow());
    assertNull(near.tls());
    Settings far = Settings.resolve(options("HOSTLER_CONTEXT", "far"));
    assertEquals(new TlsFiles(Path.of("/a"), Path.of("/c"), Path.of("/k")), far.tls());
    assertEquals("tcp://far:1", far.address());
    ConnectOptions environment =
        options("HOSTLER_CONTEXT", "far", "HOSTLER_ADDRESS", "unix:///environment");
    assertEquals("unix:///environment", Settings.resolve(environment).address());
    assertNull(Settings.resolve(environment).tls());
    assertEquals("unix:///near", Settings.resolve(environment.context("near")).address());
    assertEquals("unix:///mine", Settings.resolve(environment.address("unix:///mine")).address());
  }

  @Test
  void theFolderBelowHomeIsTheSecondChoice() throws IOException {
    Files.createDirectories(home.resolve(".config/hostler"));
    Files.writeString(home.resolve(".config/hostler/contexts.json"), TWO);
    ConnectOptions options =
        ConnectOptions.defaults().environment(Map.of("HOME", home.toString()));
    assertEquals("unix:///near", Settings.resolve(options).address());
  }

  @Test
  void aContextConnects() throws IOException {
    TestDaemon daemon = TestDaemon.get();
    contexts(
        """
        {"current": "tls", "contexts": {"tls": {"address": "tcp://%s",
          "tls_ca": "%s", "tls_cert": "%s", "tls_key": "%s", "root": "%s"}}}
        """
            .formatted(
                daemon.fact("tls"),
                daemon.pki("ca.pem"),
                daemon.pki("client.pem"),
                daemon.pki("client.key"),
                daemon.fact("root")));
    try (Hostler hostler = Hostler.connect(options())) {
      assertEquals(daemon.fact("root"), hostler.root().orElseThrow());
    }
    ConnectOptions environment =
        options(
            "HOSTLER_ADDRESS", "tcp://" + daemon.fact("tls"),
            "HOSTLER_TLS_CA", daemon.pki("ca.pem").toString(),
            "HOSTLER_TLS_CERT", daemon.pki("client.pem").toString(),
            "HOSTLER_TLS_KEY", daemon.pki("client.key").toString());
    try (Hostler hostler = Hostler.connect(environment)) {
      assertTrue(hostler.root().isEmpty());
    }
  }

  @Test
  void mistakesAreNamed() throws IOException {
    assertTrue(mistake(options("HOSTLER_CONTEXT", "far")).contains("there is no file"));
    assertTrue(
        mistake(options("HOSTLER_ADDRESS", "tcp://h:1", "HOSTLER_TLS_CA", "/a"))
            .contains("go together"));
    assertTrue(mistake(options("HOSTLER_ADDRESS", "h")).contains("must be unix:///PATH"));
    assertTrue(mistake(options("HOSTLER_ADDRESS", "tcp://h:99999")).contains("must be"));
    Path none = home.resolve("none.pem");
    assertTrue(
        mistake(options().address("unix:///s").tls(none, none, none)).contains("do not speak TLS"));
    assertTrue(
        mistake(options().address("tcp://h:1").tls(none, none, none)).contains("none.pem"));
    contexts(TWO);
    assertTrue(mistake(options().context("lost")).contains("has no context lost"));
    contexts("{\"current\": 7}");
    assertTrue(mistake(options()).contains("current must be a text"));
    contexts("{\"current\": \"a\", \"contexts\": {\"a\": {}}}");
    assertTrue(mistake(options()).contains("context a has no address"));
    contexts(
        "{\"current\": \"a\", \"contexts\":"
            + " {\"a\": {\"address\": \"tcp://h:1\", \"tls_ca\": \"/a\"}}}");
    assertTrue(mistake(options()).contains("go together"));
    contexts("{");
    assertTrue(mistake(options()).contains("is no JSON"));
  }

  @Test
  void theVersionIsTheDaemons() throws IOException {
    String manifest = Files.readString(TestDaemon.REPOSITORY.resolve("package.json"));
    String version =
        JsonParser.parseString(manifest).getAsJsonObject().get("version").getAsString();
    String pom = Files.readString(Path.of("pom.xml"));
    String own = "<artifactId>hostler-client</artifactId>\n  <version>" + version + "</version>";
    assertTrue(pom.contains(own), "pom.xml must have version " + version);
  }
}
