package dev.hostler.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A call that failed. Programs read {@link #reason()}, which docs/errors.md lists, and then {@link
 * #facts()}; an unknown reason is treated by its {@link #code()}. The message is for people.
 */
public class HostlerException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Status.Code code;
  private final transient List<Any> details;

  HostlerException(Status.Code code, String message, List<Any> details, Throwable cause) {
    super(message, cause);
    this.code = code;
    this.details = List.copyOf(details);
  }

  /**
   * The same from a status that the daemon sent inside of an event or another message.
   *
   * @param status for example {@code event.getError()}
   * @return the exception, not thrown
   */
  public static HostlerException of(dev.hostler.v1.Status status) {
    return new HostlerException(
        Status.fromCodeValue(status.getCode()).getCode(),
        status.getMessage(),
        status.getDetailsList(),
        null);
  }

  /**
   * The code of gRPC.
   *
   * @return such as NOT_FOUND
   */
  public final Status.Code code() {
    return code;
  }

  /**
   * The reason, such as IMAGE_NOT_FOUND.
   *
   * @return empty if the daemon gave none, for example because the connection was lost
   */
  public String reason() {
    return detail(ErrorInfo.class, ErrorInfo.getDefaultInstance()).getReason();
  }

  /**
   * Facts by name: a path, the processes that hold an image, a tool's last words …
   *
   * @return empty if there are none
   */
  public final Map<String, String> facts() {
    return detail(ErrorInfo.class, ErrorInfo.getDefaultInstance()).getMetadataMap();
  }

  /**
   * Every field of the request that is wrong, with the reason in words.
   *
   * @return empty unless the reason is INVALID_FIELD
   */
  public final List<BadRequest.FieldViolation> fieldViolations() {
    return detail(BadRequest.class, BadRequest.getDefaultInstance()).getFieldViolationsList();
  }

  /**
   * How long to wait before the same call is made again.
   *
   * @return empty if the daemon does not say it
   */
  public final Optional<Duration> retryDelay() {
    return detail(RetryInfo.class).map(
        info ->
            Duration.ofSeconds(
                info.getRetryDelay().getSeconds(), info.getRetryDelay().getNanos()));
  }

  /**
   * Everything that came with the error, also what this version of the client does not know.
   *
   * @return messages by their type's name
   */
  public final List<Any> details() {
    return details == null ? List.of() : details;
  }

  /**
   * The first detail of a type.
   *
   * @param <T> the type
   * @param type for example {@code QuotaFailure.class}
   * @return empty if there is none that can be read
   */
  public final <T extends Message> Optional<T> detail(Class<T> type) {
    for (Any detail : details()) {
      if (detail.is(type)) {
        try {
          return Optional.of(detail.unpack(type));
        } catch (InvalidProtocolBufferException broken) {
          // It stays in details(), and hides nothing else of the error.
          addSuppressed(broken);
        }
      }
    }
    return Optional.empty();
  }

  private <T extends Message> T detail(Class<T> type, T otherwise) {
    return detail(type).orElse(otherwise);
  }

  @Override
  public String toString() {
    String reason = reason().isEmpty() ? code.toString() : reason();
    return getClass().getSimpleName() + ": " + getMessage() + " [" + reason + "]";
  }
}
