import type { ImageAddress } from '../model/address.js';

/** A tool that the daemon runs; no path: not installed. */
export interface HostTool {
  readonly name: string;
  readonly path?: string;
  /** As the tool prints it. */
  readonly version?: string;
}

/** A configured root. */
export interface HostRoot {
  readonly path: ImageAddress;
  readonly kind: 'files' | 'devices';
  readonly writable: boolean;
  readonly trusted: boolean;
}

/** A configured Ceph pool. */
export interface HostPool {
  readonly name: string;
  readonly cluster: string;
  readonly writable: boolean;
  readonly keepsBases: boolean;
}

/** What a root's filesystem supports; found by trying, so false if nothing may be written. */
export interface RootFeatures {
  readonly filesystemType: string;
  readonly reflink: boolean;
  readonly directIo: boolean;
  readonly hardLinks: boolean;
  readonly sparse: boolean;
}

export interface HostProbe {
  readonly roots: readonly HostRoot[];
  tools(): Promise<readonly HostTool[]>;
  /** Fails with ROOT_STALLED, ACCESS_DENIED, NO_SPACE, IO_ERROR. */
  features(root: HostRoot): Promise<RootFeatures>;
}
