package dev.hostler.client;

import dev.hostler.v1.DigestImageRequest;
import dev.hostler.v1.DigestResult;
import dev.hostler.v1.DownloadImageRequest;
import dev.hostler.v1.DownloadImageResponse;
import dev.hostler.v1.ImageServiceGrpc;
import io.grpc.Status;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/** One download into a file beside its target, which gets its name when the digest agrees. */
final class Downloader {
  private final Hostler hostler;
  private final TransferProgress progress;

  Downloader(Hostler hostler, TransferProgress progress) {
    this.hostler = hostler;
    this.progress = progress;
  }

  long download(DownloadImageRequest request, Path target, boolean overwrite) throws IOException {
    if (request.getOffset() != 0 || request.hasLength()) {
      throw new IllegalArgumentException("a download to a file is of the whole image");
    }
    if (!overwrite && Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
      throw new FileAlreadyExistsException(target.toString());
    }
    Path part = target.resolveSibling("." + target.getFileName() + ".hostler-part");
    boolean resumable = !request.getAllowInUse();
    if (!resumable) {
      Files.deleteIfExists(part);
    }
    long length;
    try (RandomAccessFile file = new RandomAccessFile(part.toFile(), "rw")) {
      // What lies there may be of another image: then the digest differs, and it begins again.
      boolean agrees = receive(request, file) || file.length() > 0 && again(request, file);
      if (!agrees) {
        file.setLength(0);
        throw new HostlerException(
            Status.Code.DATA_LOSS,
            "the downloaded data does not have the digest of " + request.getPath(),
            List.of(),
            null);
      }
      file.getChannel().force(true);
      length = file.length();
    }
    publish(part, target, overwrite);
    return length;
  }

  private boolean again(DownloadImageRequest request, RandomAccessFile file) throws IOException {
    file.setLength(0);
    return receive(request, file);
  }

  private static void publish(Path part, Path target, boolean overwrite) throws IOException {
    if (overwrite) {
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
    } else {
      Files.createLink(target, part); // refuses what has come to be there
      Files.delete(part);
    }
  }

  /** Whether the digest agrees with what is there at the end. */
  private boolean receive(DownloadImageRequest request, RandomAccessFile file) throws IOException {
    Retries retries = hostler.retries();
    boolean inParts = file.length() > 0;
    while (true) {
      try {
        String found = stream(request, file, retries);
        if (!inParts) {
          return found.equals(FilePieces.digest(file.getChannel()).digest());
        }
        return digestThere(request.getPath())
            .equals(FilePieces.digest(file.getChannel()).digest());
      } catch (HostlerException failure) {
        if (inParts && failure.code() == Status.Code.INVALID_ARGUMENT) {
          return false; // the image is shorter than what is here
        }
        retries.waitOrThrow(failure);
        hostler.reconnect();
        if (request.getAllowInUse()) {
          file.setLength(0);
        }
        inParts = file.length() > 0;
      }
    }
  }

  /** Appends what is missing; the digest that the daemon says of it. */
  private String stream(DownloadImageRequest request, RandomAccessFile file, Retries retries)
      throws IOException {
    long position = file.length();
    DownloadImageRequest rest = request.toBuilder().setOffset(position).build();
    String digest = "";
    try (EventStream<DownloadImageResponse> answers =
        hostler.stream(ImageServiceGrpc.getDownloadImageMethod(), rest)) {
      while (answers.hasNext()) {
        retries.answered();
        DownloadImageResponse answer = answers.next();
        switch (answer.getContentCase()) {
          case DATA -> position += append(file, position, answer);
          case ZERO_BYTES -> {
            position += answer.getZeroBytes();
            file.setLength(position);
          }
          case CHECKSUM -> digest = answer.getChecksum().getDigest();
          default -> throw new HostlerException(
              Status.Code.INTERNAL, "a message of an unknown kind", List.of(), null);
        }
        progress.at(position, 0);
      }
    }
    return digest;
  }

  private static int append(RandomAccessFile file, long position, DownloadImageResponse answer)
      throws IOException {
    ByteBuffer bytes = answer.getData().asReadOnlyByteBuffer();
    int length = bytes.remaining();
    for (long at = position; bytes.hasRemaining(); ) {
      at += file.getChannel().write(bytes, at);
    }
    return length;
  }

  private String digestThere(String path) {
    DigestImageRequest request = DigestImageRequest.newBuilder().setPath(path).build();
    return hostler
        .start(ImageServiceGrpc.getDigestImageMethod(), request)
        .await(DigestResult.class)
        .getDigest();
  }
}
