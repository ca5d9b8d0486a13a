package dev.hostler.client;

import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;

/**
 * How to connect. What is set here wins over the environment (HOSTLER_ADDRESS, HOSTLER_TLS_CA,
 * HOSTLER_TLS_CERT, HOSTLER_TLS_KEY), and that over a context of contexts.json; the address and the
 * TLS files come from one place together. If nothing says anything, it is the Unix socket {@value
 * #DEFAULT_ADDRESS}. Objects are immutable: each method returns a changed copy.
 */
public final class ConnectOptions {
  /** Where hostlerd listens if nobody says something else. */
  public static final String DEFAULT_ADDRESS = "unix:///run/hostler/hostler.sock";

  private final String address;
  private final TlsFiles tls;
  private final String context;
  private final Map<String, String> environment;
  private final RetryPolicy retries;

  private ConnectOptions(
      String address,
      TlsFiles tls,
      String context,
      Map<String, String> environment,
      RetryPolicy retries) {
    this.address = address;
    this.tls = tls;
    this.context = context;
    this.environment = Map.copyOf(environment);
    this.retries = Objects.requireNonNull(retries);
  }

  /**
   * Leaves everything to the environment and the contexts.
   *
   * @return options of which nothing is set
   */
  public static ConnectOptions defaults() {
    return new ConnectOptions(null, null, null, System.getenv(), RetryPolicy.DEFAULT);
  }

  /**
   * Names the daemon, without TLS unless {@link #tls} follows.
   *
   * @param address {@code unix:///PATH} or {@code tcp://HOST:PORT}
   * @return a changed copy
   */
  public ConnectOptions address(String address) {
    return new ConnectOptions(address, tls, context, environment, retries);
  }

  /**
   * Gives the files for mutual TLS, in PEM.
   *
   * @param authority certificates of the authority that has signed the daemon's certificate
   * @param certificate this client's certificate
   * @param key its private key (PKCS#8)
   * @return a changed copy
   */
  public ConnectOptions tls(Path authority, Path certificate, Path key) {
    return new ConnectOptions(
        address, new TlsFiles(authority, certificate, key), context, environment, retries);
  }

  /**
   * Picks a context by its name, whatever HOSTLER_ADDRESS and HOSTLER_CONTEXT say.
   *
   * @param context a name in contexts.json
   * @return a changed copy
   */
  public ConnectOptions context(String context) {
    return new ConnectOptions(address, tls, context, environment, retries);
  }

  /**
   * Uses other variables than those of this process.
   *
   * @param environment the variables by name
   * @return a changed copy
   */
  public ConnectOptions environment(Map<String, String> environment) {
    return new ConnectOptions(address, tls, context, environment, retries);
  }

  /**
   * Says how long lost connections are made again.
   *
   * @param retries the policy of every call of the client
   * @return a changed copy
   */
  public ConnectOptions retries(RetryPolicy retries) {
    return new ConnectOptions(address, tls, context, environment, retries);
  }

  String addressOrNull() {
    return address;
  }

  TlsFiles tlsOrNull() {
    return tls;
  }

  String contextOrNull() {
    return context;
  }

  Map<String, String> variables() {
    return environment;
  }

  RetryPolicy retryPolicy() {
    return retries;
  }
}
