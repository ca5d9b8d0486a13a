import type { ImageAddress } from './address.js';

/**
 * Where an image comes from. Serialisable; anything that could be a secret is in `Secrets` instead.
 */
export type SourceSpec =
  | {
      readonly kind: 'http';
      /** Without user, query and fragment. */
      readonly url: string;
      /**
       * Digest of the query, which may hold a signature: the query itself is in the secrets. Unset:
       * there is none.
       */
      readonly querySha256?: string;
      /**
       * Digest of the query without its signature, which identifies the content. Unset, as in
       * earlier versions: the whole query.
       */
      readonly contentQuerySha256?: string;
      /** With headers, which are in the secrets. */
      readonly headers: boolean;
      /** URL of a checksum list, without user, query and fragment. */
      readonly checksumUrl?: string;
    }
  | { readonly kind: 'file'; readonly path: ImageAddress }
  | {
      readonly kind: 'glance';
      readonly endpoint: string;
      readonly imageId: string;
      /** With a token, which is in the secrets; otherwise the configured one, if there is one. */
      readonly token: boolean;
    };

export type NetworkSource = Exclude<SourceSpec, { readonly kind: 'file' }>;
