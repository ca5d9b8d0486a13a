package dev.hostler.client;

import io.grpc.Status;
import java.util.List;

/** The daemon serves another contract, or lacks a part of it. */
public final class IncompatibleAgentException extends HostlerException {
  private static final long serialVersionUID = 1L;

  IncompatibleAgentException(String message) {
    super(Status.Code.UNIMPLEMENTED, message, List.of(), null);
  }
}
