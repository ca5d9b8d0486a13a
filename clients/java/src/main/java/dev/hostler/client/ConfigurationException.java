package dev.hostler.client;

/** What says how to connect is wrong: an argument, a variable of the environment, or a file. */
public final class ConfigurationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * With a sentence for people.
   *
   * @param message what is wrong, and where it was said
   */
  public ConfigurationException(String message) {
    super(message);
  }

  /**
   * With the reason why a file could not be used.
   *
   * @param message what is wrong, and where it was said
   * @param cause why
   */
  public ConfigurationException(String message, Throwable cause) {
    super(message, cause);
  }
}
