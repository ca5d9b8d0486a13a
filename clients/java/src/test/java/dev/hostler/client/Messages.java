package dev.hostler.client;

import dev.hostler.v1.Checksum;
import dev.hostler.v1.CreateImageRequest;
import dev.hostler.v1.FetchImageRequest;
import dev.hostler.v1.HttpSource;
import dev.hostler.v1.ImageSource;
import dev.hostler.v1.OperationFilter;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Random;

/** Requests that several tests make. */
final class Messages {
  static final OperationFilter ALL = OperationFilter.getDefaultInstance();
  static final int MIB = 1024 * 1024;

  private Messages() {}

  static CreateImageRequest create(String path) {
    return CreateImageRequest.newBuilder().setPath(path).setFormat("qcow2").setSize("1M").build();
  }

  /** Takes about as many seconds as the content has MiB, divided by the rate. */
  static FetchImageRequest slowFetch(String url, String target, byte[] content, int mibPerSecond) {
    return FetchImageRequest.newBuilder()
        .setSource(ImageSource.newBuilder().setHttp(HttpSource.newBuilder().setUrl(url)))
        .setTarget(target)
        .setSourceFormat("raw")
        .setChecksum(Checksum.newBuilder().setAlgorithm("sha256").setDigest(sha256(content)))
        .setBandwidthBytesPerSecond((long) mibPerSecond * MIB)
        .build();
  }

  static byte[] random(int bytes) {
    byte[] content = new byte[bytes];
    new Random(bytes).nextBytes(content);
    return content;
  }

  static String sha256(byte[] content) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
