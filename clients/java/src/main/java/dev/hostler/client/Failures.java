package dev.hostler.client;

import dev.hostler.client.ConnectionException.Problem;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.nio.channels.UnresolvedAddressException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** Makes what grpc-java throws into exceptions of this package. */
final class Failures {
  private static final Pattern WRONG_NAME =
      Pattern.compile("No (subject alternative|name matching)|No .*matching .* found");
  private static final Pattern UNKNOWN_AUTHORITY =
      Pattern.compile("unable to find valid certification path|PKIX path|Path does not chain");
  private static final Pattern NOT_VALID = Pattern.compile("NotAfter|NotBefore|validity check");
  private static final Pattern CLIENT_REFUSED =
      Pattern.compile(
          "alert: (certificate_|bad_certificate|unknown_ca|handshake_failure|access_denied)");
  private static final Pattern BROKEN_OFF =
      Pattern.compile(
          "RST_STREAM|Rst Stream|end-of-stream|unexpected EOS|Half-closed",
          Pattern.CASE_INSENSITIVE);

  private static final Pattern NO_HTTP2 =
      Pattern.compile("First received frame was not SETTINGS|Unexpected HTTP/1");

  private final Endpoint endpoint;

  Failures(Endpoint endpoint) {
    this.endpoint = endpoint;
  }

  /** What came of a call of that method. Keeps details of every type, known or not. */
  HostlerException of(MethodDescriptor<?, ?> method, StatusRuntimeException error) {
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    // The daemon answers a client without TLS itself; other servers with TLS just close.
    if (error.getStatus().getCode() == Status.Code.UNAUTHENTICATED && endpoint.asksForTls()) {
      return new ConnectionException(endpoint.address(), Problem.TLS_NEEDED, error);
    }
    if (status != null && status.getDetailsCount() > 0) {
      return new HostlerException(
          error.getStatus().getCode(), status.getMessage(), status.getDetailsList(), error);
    }
    Status.Code code = error.getStatus().getCode();
    String said = String.valueOf(error.getStatus().getDescription());
    if (code == Status.Code.UNIMPLEMENTED) {
      said =
          "the daemon at %s does not serve %s: it is of another version than this client (%s)"
              .formatted(endpoint.address(), method.getFullMethodName(), said);
    }
    boolean lost =
        code == Status.Code.UNAVAILABLE
            || code == Status.Code.INTERNAL
                && (BROKEN_OFF.matcher(said).find() || isNoHttp2(error.getCause()));
    if (!lost) {
      return new HostlerException(code, said, List.of(), error);
    }
    return new ConnectionException(endpoint.address(), problem(error), error);
  }

  private Problem problem(StatusRuntimeException error) {
    List<Throwable> causes = causes(error);
    for (Throwable cause : causes) {
      Problem known = byType(cause);
      if (known != null) {
        return known;
      }
    }
    for (Throwable cause : causes) {
      Problem known = byWords(String.valueOf(cause.getMessage()));
      if (known != null) {
        return known;
      }
    }
    if (endpoint.asksForTls()) {
      return Problem.TLS_NEEDED;
    }
    return isNoHttp2(error.getCause()) ? Problem.NO_GRPC_THERE : Problem.CONNECTION_LOST;
  }

  /** The first thing that the other side said is none of HTTP/2. */
  private static boolean isNoHttp2(Throwable cause) {
    return cause != null
        && cause.getClass().getSimpleName().equals("Http2Exception")
        && NO_HTTP2.matcher(String.valueOf(cause.getMessage())).find();
  }

  private Problem byType(Throwable cause) {
    if (cause instanceof CertificateExpiredException
        || cause instanceof CertificateNotYetValidException
        || cause instanceof CertPathValidatorException path
            && path.getReason() == CertPathValidatorException.BasicReason.EXPIRED) {
      return Problem.CERTIFICATE_NOT_VALID;
    }
    if (cause instanceof UnknownHostException || cause instanceof UnresolvedAddressException) {
      return Problem.UNKNOWN_HOST;
    }
    if (cause instanceof NoRouteToHostException) {
      return Problem.UNREACHABLE;
    }
    if (cause.getClass().getSimpleName().equals("NotSslRecordException")) {
      return Problem.NO_TLS_THERE;
    }
    if (cause instanceof ConnectException
        && String.valueOf(cause.getMessage()).contains("refused")) {
      return Problem.NOBODY_LISTENS;
    }
    return null;
  }

  private static Problem byWords(String words) {
    if (WRONG_NAME.matcher(words).find()) {
      return Problem.WRONG_NAME;
    }
    if (NOT_VALID.matcher(words).find()) {
      return Problem.CERTIFICATE_NOT_VALID;
    }
    if (UNKNOWN_AUTHORITY.matcher(words).find()) {
      return Problem.UNKNOWN_AUTHORITY;
    }
    if (CLIENT_REFUSED.matcher(words).find()) {
      return Problem.CLIENT_REFUSED;
    }
    if (words.contains("No such file or directory")) {
      return Problem.NO_SUCH_SOCKET;
    }
    if (words.contains("Permission denied")) {
      return Problem.SOCKET_FORBIDDEN;
    }
    if (words.contains("unreachable") || words.contains("timed out")) {
      return Problem.UNREACHABLE;
    }
    return null;
  }

  private static List<Throwable> causes(Throwable error) {
    List<Throwable> found = new ArrayList<>();
    Throwable cause = error;
    while (cause != null && !found.contains(cause)) {
      found.add(cause);
      cause = cause.getCause();
    }
    return found;
  }
}
