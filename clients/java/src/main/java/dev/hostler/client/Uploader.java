package dev.hostler.client;

import com.google.protobuf.ByteString;
import dev.hostler.client.ConnectionException.Problem;
import dev.hostler.v1.Checksum;
import dev.hostler.v1.ImageInfo;
import dev.hostler.v1.ImageServiceGrpc;
import dev.hostler.v1.StartUploadRequest;
import dev.hostler.v1.StartUploadResponse;
import dev.hostler.v1.UploadHeader;
import dev.hostler.v1.UploadImageRequest;
import dev.hostler.v1.UploadImageResponse;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** One upload: the daemon finds it again by its fields, the checksum among them. */
final class Uploader {
  private final Hostler hostler;
  private final TransferProgress progress;

  Uploader(Hostler hostler, TransferProgress progress) {
    this.hostler = hostler;
    this.progress = progress;
  }

  ImageInfo upload(Path path, StartUploadRequest wanted) throws IOException {
    try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
      FilePieces.Content content = FilePieces.digest(file);
      StartUploadRequest request =
          Requests.withId(
              wanted.toBuilder()
                  .setLengthBytes(file.size())
                  .setDataBytes(content.dataBytes())
                  .setChecksum(
                      Checksum.newBuilder()
                          .setAlgorithm(BlockDigest.ALGORITHM)
                          .setDigest(content.digest()))
                  .build());
      return retrying(file, request);
    }
  }

  private ImageInfo retrying(FileChannel file, StartUploadRequest request) throws IOException {
    Retries retries = hostler.retries();
    while (true) {
      try {
        StartUploadResponse begun = hostler.once(ImageServiceGrpc.getStartUploadMethod(), request);
        if (begun.hasInfo()) {
          return begun.getInfo();
        }
        retries.answered();
        UploadImageResponse answer = send(file, request, begun);
        if (answer.hasInfo()) {
          return answer.getInfo();
        }
        throw new ConnectionException(hostler.address(), Problem.CONNECTION_LOST, null);
      } catch (HostlerException failure) {
        retries.waitOrThrow(failure);
        hostler.reconnect();
      }
    }
  }

  private UploadImageResponse send(
      FileChannel file, StartUploadRequest request, StartUploadResponse begun) throws IOException {
    long offset = begun.getCommittedBytes();
    progress.at(offset, request.getLengthBytes());
    try (Sender<UploadImageRequest, UploadImageResponse> sender =
        new Sender<>(hostler, ImageServiceGrpc.getUploadImageMethod())) {
      sender.send(
          UploadImageRequest.newBuilder()
              .setHeader(
                  UploadHeader.newBuilder().setUploadId(begun.getUploadId()).setOffset(offset))
              .build());
      long[] position = {offset};
      FilePieces.read(
          file,
          offset,
          (bytes, zeros) -> {
            UploadImageRequest.Builder piece = UploadImageRequest.newBuilder();
            int length = bytes.remaining();
            sender.send(
                zeros
                    ? piece.setZeroBytes(length).build()
                    : piece.setData(ByteString.copyFrom(bytes)).build());
            position[0] += length;
            progress.at(position[0], request.getLengthBytes());
          });
      return sender.finish();
    }
  }
}
