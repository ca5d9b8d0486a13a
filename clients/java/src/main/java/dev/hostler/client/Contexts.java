package dev.hostler.client;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * The contexts of this user, in {@code $XDG_CONFIG_HOME/hostler/contexts.json}, else {@code
 * ~/.config/hostler/contexts.json}.
 */
final class Contexts {
  private Contexts() {}

  /**
   * The context of that name, else of HOSTLER_CONTEXT, else the current one; null if there is
   * neither a name nor a file. Fails with ConfigurationException.
   */
  static Settings read(Map<String, String> variables, String wanted) {
    String named = wanted != null ? wanted : variables.getOrDefault("HOSTLER_CONTEXT", "");
    Path path = path(variables);
    if (!Files.exists(path)) {
      if (named.isEmpty()) {
        return null;
      }
      throw new ConfigurationException("context " + named + ": there is no file " + path);
    }
    JsonObject file = object(parse(path), path.toString());
    String name = named.isEmpty() ? text(file, "current", path.toString()) : named;
    if (name == null) {
      return null;
    }
    JsonElement contexts = file.get("contexts");
    JsonElement found =
        contexts == null ? null : object(contexts, path + ": contexts").get(name);
    if (found == null) {
      throw new ConfigurationException(path + " has no context " + name);
    }
    String where = path + ": context " + name;
    JsonObject context = object(found, where);
    String address = text(context, "address", where);
    if (address == null) {
      throw new ConfigurationException(where + " has no address");
    }
    TlsFiles tls =
        Settings.allOrNone(
            where + ": tls_ca, tls_cert and tls_key",
            text(context, "tls_ca", where),
            text(context, "tls_cert", where),
            text(context, "tls_key", where));
    return new Settings(address, tls, Optional.ofNullable(text(context, "root", where)));
  }

  private static Path path(Map<String, String> variables) {
    String folder = variables.getOrDefault("XDG_CONFIG_HOME", "");
    Path base =
        folder.isEmpty()
            ? Path.of(variables.getOrDefault("HOME", System.getProperty("user.home")), ".config")
            : Path.of(folder);
    return base.resolve("hostler").resolve("contexts.json");
  }

  private static JsonElement parse(Path path) {
    try {
      return JsonParser.parseString(Files.readString(path));
    } catch (IOException error) {
      throw new ConfigurationException(path + " cannot be read: " + error.getMessage(), error);
    } catch (JsonParseException error) {
      throw new ConfigurationException(path + " is no JSON: " + error.getMessage(), error);
    }
  }

  private static JsonObject object(JsonElement element, String where) {
    if (!element.isJsonObject()) {
      throw new ConfigurationException(where + " is no JSON object");
    }
    return element.getAsJsonObject();
  }

  /** Null if there is no such member, or an empty text. */
  private static String text(JsonObject object, String member, String where) {
    JsonElement element = object.get(member);
    if (element == null || element.isJsonNull()) {
      return null;
    }
    if (!element.isJsonPrimitive() || !element.getAsJsonPrimitive().isString()) {
      throw new ConfigurationException(where + ": " + member + " must be a text");
    }
    return element.getAsString().isEmpty() ? null : element.getAsString();
  }
}
