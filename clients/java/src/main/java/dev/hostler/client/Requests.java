package dev.hostler.client;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.UUID;

/** Request ids, for any request that has the field. */
final class Requests {
  private Requests() {}

  /** The request with an id: its own, else a new one; as it is if it has no such field. */
  static <Q> Q withId(Q request) {
    if (!(request instanceof Message message)) {
      return request;
    }
    FieldDescriptor field = message.getDescriptorForType().findFieldByName("request_id");
    if (field == null || !message.getField(field).equals("")) {
      return request;
    }
    Message filled = message.toBuilder().setField(field, UUID.randomUUID().toString()).build();
    @SuppressWarnings("unchecked")
    Q same = (Q) filled;
    return same;
  }

  /** Empty if it has none. */
  static String idOf(Object request) {
    if (!(request instanceof Message message)) {
      return "";
    }
    FieldDescriptor field = message.getDescriptorForType().findFieldByName("request_id");
    return field == null ? "" : (String) message.getField(field);
  }
}
