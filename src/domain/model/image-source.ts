import type { ImageAddress } from './address.js';

/**
 * Where an image comes from. Serialisable; what could be a secret is not in it but in `Secrets`.
 */
export type SourceSpec =
  | {
      readonly kind: 'http';
      /** Without user, query and fragment. */
      readonly url: string;
      /**
       * Digest of the query, which may hold a signature: the query itself comes apart. Unset: there
       * is none.
       */
      readonly querySha256?: string;
      /**
       * The same of what is left of it without its signature, which names the content. Unset, as of
       * earlier versions: all of it.
       */
      readonly contentQuerySha256?: string;
      /** With headers that come apart. */
      readonly headers: boolean;
      /** Of a list of checksums, without user, query and fragment. */
      readonly checksumUrl?: string;
    }
  | { readonly kind: 'file'; readonly path: ImageAddress }
  | {
      readonly kind: 'glance';
      readonly endpoint: string;
      readonly imageId: string;
      /** With a token that comes apart; else the configured one, if there is any. */
      readonly token: boolean;
    };

export type NetworkSource = Exclude<SourceSpec, { readonly kind: 'file' }>;
