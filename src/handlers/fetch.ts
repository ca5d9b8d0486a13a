/** RPCs of ImageService that fetch images from elsewhere. */
import { HostlerError } from '../domain/errors.js';
import { fetchImage } from '../domain/fetch/fetch-image.js';
import { fetchRawImage } from '../domain/fetch/fetch-raw-image.js';
import type { MakePorts } from '../domain/fetch/make-image.js';
import type { Operations } from '../domain/operations/engine.js';
import type { ImageServiceService } from '../gen/hostler/v1/image_service.js';
import { fetchParsers, type SourceDefaults } from './fetch-requests.js';
import type { Handlers } from './handler.js';
import { longRunning } from './running.js';

export type FetchPorts = MakePorts & { readonly sourceDefaults: SourceDefaults };

type FetchHandlers = Pick<Handlers<typeof ImageServiceService>, 'fetchImage' | 'fetchRawImage'>;

export function fetchHandlers(operations: Operations, ports: FetchPorts): FetchHandlers {
  const events = longRunning(operations);
  const parse = fetchParsers(ports.sourceDefaults);
  return {
    fetchImage: events((request) => {
      const { spec, ask } = parse.fetch(request);
      const { useCache, overlay, ...rest } = spec;
      if (useCache || overlay) throw new HostlerError('NOT_IMPLEMENTED', 'the cache is not served by this version');
      return { spec: rest, ask };
    }, fetchImage(ports)),
    fetchRawImage: events(parse.fetchRaw, fetchRawImage(ports)),
  };
}
