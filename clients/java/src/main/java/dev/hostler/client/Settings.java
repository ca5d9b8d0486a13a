package dev.hostler.client;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * Which daemon, and how: found in the arguments, else in the environment, else in a context. {@code
 * tls} is null without TLS; {@code root} is the folder of images that the context names.
 */
record Settings(String address, TlsFiles tls, Optional<String> root) {

  /** Fails with ConfigurationException. */
  static Settings resolve(ConnectOptions options) {
    if (options.addressOrNull() != null) {
      return new Settings(options.addressOrNull(), options.tlsOrNull(), Optional.empty());
    }
    Map<String, String> variables = options.variables();
    Settings found = options.contextOrNull() == null ? ofEnvironment(variables) : null;
    if (found == null) {
      found = Contexts.read(variables, options.contextOrNull());
    }
    if (found == null) {
      found = new Settings(ConnectOptions.DEFAULT_ADDRESS, null, Optional.empty());
    }
    return options.tlsOrNull() == null
        ? found
        : new Settings(found.address, options.tlsOrNull(), found.root);
  }

  /** Null if there is no HOSTLER_ADDRESS. */
  private static Settings ofEnvironment(Map<String, String> variables) {
    String address = variables.getOrDefault("HOSTLER_ADDRESS", "");
    TlsFiles tls =
        allOrNone(
            "HOSTLER_TLS_CA, HOSTLER_TLS_CERT and HOSTLER_TLS_KEY",
            variables.get("HOSTLER_TLS_CA"),
            variables.get("HOSTLER_TLS_CERT"),
            variables.get("HOSTLER_TLS_KEY"));
    if (!address.isEmpty()) {
      return new Settings(address, tls, Optional.empty());
    }
    if (tls != null) {
      throw new ConfigurationException("HOSTLER_TLS_CA is set, but HOSTLER_ADDRESS is not");
    }
    return null;
  }

  /** The files, or null if none is named. */
  static TlsFiles allOrNone(String names, String authority, String certificate, String key) {
    boolean[] given = {isGiven(authority), isGiven(certificate), isGiven(key)};
    if (given[0] && given[1] && given[2]) {
      return new TlsFiles(Path.of(authority), Path.of(certificate), Path.of(key));
    }
    if (given[0] || given[1] || given[2]) {
      throw new ConfigurationException(names + " go together: set all three or none");
    }
    return null;
  }

  private static boolean isGiven(String value) {
    return value != null && !value.isEmpty();
  }
}
