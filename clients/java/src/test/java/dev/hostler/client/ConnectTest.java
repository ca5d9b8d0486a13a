package dev.hostler.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.hostler.client.ConnectionException.Problem;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Path;
import java.util.List;
import javax.net.ssl.SSLServerSocketFactory;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Connections that come about, and each way in which they do not. */
class ConnectTest {
  private final TestDaemon daemon = TestDaemon.get();

  private static Problem problem(ConnectOptions options) {
    ConnectionException error =
        assertThrows(ConnectionException.class, () -> Hostler.connect(options).close());
    assertTrue(error.getMessage().contains(options.addressOrNull()), error.getMessage());
    return error.problem();
  }

  private static String reason(ConnectOptions options) {
    return assertThrows(HostlerException.class, () -> Hostler.connect(options).close()).reason();
  }

  @Test
  void unixSocketAndMutualTls() {
    for (ConnectOptions options : List.of(daemon.plain(), daemon.tls("client"))) {
      try (Hostler hostler = Hostler.connect(options)) {
        assertTrue(hostler.hostInfo().getContractVersion().startsWith("1."));
        hostler.require("cursors");
        IncompatibleAgentException lacks =
            // No command is configured.
            assertThrows(IncompatibleAgentException.class, () -> hostler.require("commands"));
        String words = "has no commands; it has: folders";
        assertTrue(lacks.getMessage().contains(words), lacks.getMessage());
      }
    }
  }

  @Test
  void nobodyListens(@TempDir Path folder) throws IOException {
    assertEquals(
        Problem.NO_SUCH_SOCKET, problem(daemon.plain().address("unix://" + folder + "/none")));
    Path stale = folder.resolve("stale");
    ServerSocketChannel.open(StandardProtocolFamily.UNIX)
        .bind(UnixDomainSocketAddress.of(stale))
        .close();
    assertEquals(Problem.NOBODY_LISTENS, problem(daemon.plain().address("unix://" + stale)));
    int free;
    try (ServerSocket socket = new ServerSocket(0)) {
      free = socket.getLocalPort();
    }
    assertEquals(
        Problem.NOBODY_LISTENS, problem(daemon.plain().address("tcp://127.0.0.1:" + free)));
  }

  @Test
  void certificatesThatDoNotFit() throws IOException, InterruptedException {
    assertEquals(
        Problem.WRONG_NAME,
        problem(daemon.tls("client").address("tcp://" + daemon.fact("wrong_name"))));
    assertEquals(
        Problem.UNKNOWN_AUTHORITY,
        problem(
            daemon
                .tls("client")
                .tls(
                    daemon.pki("other/ca.pem"),
                    daemon.pki("client.pem"),
                    daemon.pki("client.key"))));
    assertEquals("METHOD_NOT_ALLOWED", reason(daemon.tls("stranger")));
    String hostler = TestDaemon.REPOSITORY.resolve("bin/hostler").toString();
    String other = daemon.pki("other").toString();
    TestDaemon.run(
        List.of(
            hostler, "cert", "issue", other, "guest", "--kind", "client", "--uri", "spiffe://o/g"));
    ConnectOptions foreign =
        daemon
            .tls("client")
            .tls(
                daemon.pki("ca.pem"),
                daemon.pki("other/guest.pem"),
                daemon.pki("other/guest.key"));
    HostlerException error =
        assertThrows(HostlerException.class, () -> Hostler.connect(foreign).close());
    boolean refused =
        error instanceof ConnectionException lost
            ? lost.problem() == Problem.CLIENT_REFUSED
            : error.reason().equals("NOT_AUTHENTICATED");
    assertTrue(refused, error.toString());
  }

  @Test
  void tlsWhereItIsNotExpectedAndTheReverse() {
    assertEquals(
        Problem.TLS_NEEDED, problem(daemon.plain().address("tcp://" + daemon.fact("tls"))));
    assertEquals(
        Problem.NO_TLS_THERE,
        problem(daemon.tls("client").address("tcp://127.0.0.1:" + daemon.fact("www"))));
  }

  @Test
  void aServerWithTlsThatIsNoDaemon() throws IOException {
    try (ServerSocket server = SSLServerSocketFactory.getDefault().createServerSocket(0)) {
      Thread thread =
          new Thread(
              () -> {
                while (!server.isClosed()) {
                  try (Socket guest = server.accept()) {
                    ((SSLSocket) guest).startHandshake();
                  } catch (IOException expected) {
                    // No guest of this test gets through the handshake.
                  }
                }
              });
      thread.setDaemon(true);
      thread.start();
      String address = "tcp://127.0.0.1:" + server.getLocalPort();
      assertEquals(Problem.TLS_NEEDED, problem(daemon.plain().address(address)));
    }
  }

  @Test
  void aWebServerIsNoDaemon() {
    String address = "tcp://127.0.0.1:" + daemon.fact("www");
    assertEquals(Problem.NO_GRPC_THERE, problem(daemon.plain().address(address)));
  }

  @Test
  void viewersMayLook() {
    try (Hostler hostler = Hostler.connect(daemon.tls("viewer"))) {
      assertTrue(hostler.hostInfo().getRootsCount() > 0);
    }
  }

  @Test
  void aLostConnectionIsToldFromOneThatNeverWas() {
    ConnectOptions once = daemon.plain().retries(RetryPolicy.NEVER);
    try (Hostler hostler = Hostler.connect(once);
        Watch watch = hostler.watch(Messages.ALL, "")) {
      daemon.order("stop");
      HostlerException lost = assertThrows(HostlerException.class, watch::hasNext);
      HostlerException none =
          assertThrows(HostlerException.class, () -> hostler.watch(Messages.ALL, "").hasNext());
      daemon.order("start");
      boolean said =
          lost instanceof ConnectionException broken
              ? broken.problem() == Problem.CONNECTION_LOST
              : lost.reason().equals("SHUTTING_DOWN");
      assertTrue(said, lost.toString());
      assertEquals(Problem.NO_SUCH_SOCKET, ((ConnectionException) none).problem());
    }
  }
}
