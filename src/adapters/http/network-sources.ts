import * as z from 'zod';
import type { RemoteFile, Sources } from '../../domain/ports/sources.js';
import { HEADERS, QUERY, TOKEN, secretText } from '../../domain/fetch/source.js';
import { GlanceFile } from './glance-source.js';
import type { HttpClient } from './http-client.js';
import { HttpFile } from './http-source.js';
import type { Secrets } from '../../domain/model/secrets.js';
import type { NetworkSource } from '../../domain/model/image-source.js';

const headersSchema = z.record(z.string(), z.string());

/** The token from the configuration, and the only server that may receive it. */
export interface ConfiguredToken {
  readonly file: string;
  readonly origin: string;
}

/** Opens sources with the secrets of their callers or of the configuration. */
export class NetworkSources implements Sources {
  constructor(
    private readonly client: HttpClient,
    private readonly token: ConfiguredToken | undefined,
  ) {}

  open(source: NetworkSource, secrets: Secrets): RemoteFile {
    if (source.kind === 'http') {
      const url = new URL(source.url);
      url.search = secretText(secrets, QUERY) ?? '';
      const headers = headersSchema.parse(JSON.parse(secretText(secrets, HEADERS) ?? '{}'));
      return new HttpFile(this.client, url, headers, source.checksumUrl);
    }
    const token = secretText(secrets, TOKEN);
    const image = new URL(`${source.endpoint.replace(/\/$/, '')}/v2/images/${source.imageId}`);
    const headers = token === undefined ? {} : { 'x-auth-token': token };
    const configured = token === undefined && image.origin === this.token?.origin ? this.token.file : undefined;
    return new GlanceFile(this.client, image, headers, configured);
  }
}
