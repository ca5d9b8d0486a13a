/**
 * A client of Hostler, a gRPC service that looks after the disk images of one hypervisor host.
 * {@link dev.hostler.client.Hostler} is where to begin.
 */
package dev.hostler.client;
