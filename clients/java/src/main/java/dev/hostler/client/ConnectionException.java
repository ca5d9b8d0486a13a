package dev.hostler.client;

import io.grpc.Status;
import java.util.List;

/**
 * No answer of the daemon: there was no connection, or it was lost. What the call was to change may
 * have been changed or not; the same call with the same request id says it.
 */
public final class ConnectionException extends HostlerException {
  private static final long serialVersionUID = 1L;

  /** Why there is no connection. */
  public enum Problem {
    /** Nothing listens at the address: the daemon is not running, or elsewhere. */
    NOBODY_LISTENS("nothing listens there; start hostlerd, or name another address", true),
    /** There is no such Unix socket. */
    NO_SUCH_SOCKET("there is no such socket; start hostlerd, or name another address", true),
    /** This user may not use the Unix socket. */
    SOCKET_FORBIDDEN(
        "this user may not write to the socket; run as a user or group that may", false),
    /** The name of the host is not known. */
    UNKNOWN_HOST("the name of the host is not known", false),
    /** The network does not lead there. */
    UNREACHABLE("the host cannot be reached", true),
    /** The daemon's certificate is for another name. */
    WRONG_NAME("the certificate of the daemon is for another name than the address", false),
    /** The daemon's certificate is of an authority that the given file does not have. */
    UNKNOWN_AUTHORITY(
        "the certificate of the daemon is from another authority than the given one", false),
    /** The daemon's certificate has expired, or is not valid yet. */
    CERTIFICATE_NOT_VALID("the certificate of the daemon has expired or is not valid yet", false),
    /** The daemon does not accept this client's certificate. */
    CLIENT_REFUSED("the daemon does not accept the certificate of this client", false),
    /** This client has TLS files, and the address does not speak TLS. */
    NO_TLS_THERE("the daemon does not speak TLS at this address; leave out the TLS files", false),
    /** The address speaks TLS, and this client has no TLS files. */
    TLS_NEEDED("the address speaks TLS; give the authority, certificate and key", false),
    /** What answers at the address does not speak gRPC. */
    NO_GRPC_THERE("what answers there does not speak gRPC; name another address", false),
    /** There was a connection, and it broke before the answer. */
    CONNECTION_LOST("the connection was lost before the answer", true);

    private final String words;
    private final boolean passes;

    Problem(String words, boolean passes) {
      this.words = words;
      this.passes = passes;
    }

    /**
     * Whether waiting can help.
     *
     * @return false if somebody has to change something first
     */
    public boolean passes() {
      return passes;
    }
  }

  private final Problem problem;

  ConnectionException(String address, Problem problem, Throwable cause) {
    super(
        Status.Code.UNAVAILABLE,
        "no connection to " + address + ": " + problem.words,
        List.of(),
        cause);
    this.problem = problem;
  }

  /**
   * Why there is no connection.
   *
   * @return never null
   */
  public Problem problem() {
    return problem;
  }
}
