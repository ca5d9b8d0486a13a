package dev.hostler.client;

import java.nio.file.Path;

/** The three files of mutual TLS. */
record TlsFiles(Path authority, Path certificate, Path key) {}
