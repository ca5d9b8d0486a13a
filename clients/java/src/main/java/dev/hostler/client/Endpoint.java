package dev.hostler.client;

import io.grpc.ChannelCredentials;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One daemon's address, and how a channel to it is made. */
final class Endpoint {
  private static final Pattern UNIX = Pattern.compile("unix://(/.+)");
  private static final Pattern TCP = Pattern.compile("(?:tcp://)?(\\[[^]/]+]|[^/:]+):(\\d{1,5})");
  private static final int WINDOW_BYTES = 1024 * 1024;
  private static final int LONGEST_MESSAGE_BYTES = 16 * 1024 * 1024;
  private static final int PROBE_MILLIS = 2000;
  /** The first byte of a TLS record with a part of a handshake, or with an alert. */
  private static final int HANDSHAKE = 22;

  private static final int ALERT = 21;

  private final String address;
  private final TlsFiles tls;
  private final String socket;
  private final String host;
  private final int port;

  /** Fails with ConfigurationException. */
  Endpoint(String address, TlsFiles tls) {
    Matcher unix = UNIX.matcher(address);
    Matcher tcp = TCP.matcher(address);
    this.address = address;
    this.tls = tls;
    this.socket = unix.matches() ? unix.group(1) : null;
    boolean isTcp = socket == null && tcp.matches() && Integer.parseInt(tcp.group(2)) <= 65535;
    this.host = isTcp ? tcp.group(1).replaceAll("[\\[\\]]", "") : null;
    this.port = isTcp ? Integer.parseInt(tcp.group(2)) : 0;
    if (socket == null && host == null) {
      throw new ConfigurationException(
          "address " + address + ": must be unix:///PATH or tcp://HOST:PORT");
    }
    if (socket != null && tls != null) {
      throw new ConfigurationException("address " + address + ": Unix sockets do not speak TLS");
    }
  }

  String address() {
    return address;
  }

  /** A channel, and what has to be closed with it. */
  record Made(ManagedChannel channel, EventLoopGroup loop) {}

  /** Fails with ConfigurationException when a file cannot be used. */
  Made channel() {
    if (socket == null) {
      NettyChannelBuilder builder =
          NettyChannelBuilder.forAddress(host, port, credentials())
              .keepAliveTime(30, TimeUnit.SECONDS)
              .keepAliveTimeout(20, TimeUnit.SECONDS);
      return new Made(bulk(builder).build(), null);
    }
    EventLoopGroup loop =
        new MultiThreadIoEventLoopGroup(
            1, new DefaultThreadFactory("hostler-client", true), NioIoHandler.newFactory());
    NettyChannelBuilder builder =
        NettyChannelBuilder.forAddress(
                UnixDomainSocketAddress.of(socket), InsecureChannelCredentials.create())
            .overrideAuthority("localhost")
            .channelType(NioDomainSocketChannel.class, UnixDomainSocketAddress.class)
            .eventLoopGroup(loop)
            // grpc sets it for every channel, and netty complains where there is no such thing.
            .withOption(ChannelOption.SO_KEEPALIVE, null);
    return new Made(bulk(builder).build(), loop);
  }

  private static NettyChannelBuilder bulk(NettyChannelBuilder builder) {
    return builder
        .flowControlWindow(WINDOW_BYTES)
        .maxInboundMessageSize(LONGEST_MESSAGE_BYTES)
        .disableRetry();
  }

  private ChannelCredentials credentials() {
    if (tls == null) {
      return InsecureChannelCredentials.create();
    }
    try {
      return TlsChannelCredentials.newBuilder()
          .trustManager(tls.authority().toFile())
          .keyManager(tls.certificate().toFile(), tls.key().toFile())
          .build();
    } catch (IOException | IllegalArgumentException error) {
      throw new ConfigurationException(
          "the TLS files cannot be used: " + error.getMessage(), error);
    }
  }

  /**
   * Whether a client without TLS files has come to a port that speaks TLS. Such a port closes the
   * connection without a word that grpc-java would pass on; a TLS greeting is answered.
   */
  boolean asksForTls() {
    if (tls != null || host == null) {
      return false;
    }
    try (Socket probe = new Socket()) {
      probe.connect(new InetSocketAddress(host, port), PROBE_MILLIS);
      probe.setSoTimeout(PROBE_MILLIS);
      // A record that is no TLS handshake: a TLS server answers with an alert, any other does not.
      probe.getOutputStream().write(new byte[] {HANDSHAKE, 3, 1, 0, 4, 1, 0, 0, 0});
      int first = probe.getInputStream().read();
      return first == ALERT || first == HANDSHAKE;
    } catch (IOException unanswered) {
      return false;
    }
  }
}
