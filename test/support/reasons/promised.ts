/** Which reasons the comments of proto/ promise, read from the descriptors. */
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { services } from '../descriptors.js';

/** Field numbers of descriptor.proto, which lead to an element's comment. */
const SERVICES_OF_FILE = 6;
const METHODS_OF_SERVICE = 2;

/** What the comment of one RPC promises. */
export interface Promised {
  /** Its short name: no two services have one of the same. */
  readonly rpc: string;
  /** Unset: the comment says nothing about failures. */
  readonly reasons: readonly string[] | undefined;
  /** What may come from every RPC of its service. */
  readonly common: readonly string[];
}

/** Every RPC that the descriptors have. */
export function promises(): Promised[] {
  return services().flatMap((service) => {
    const common = reasonsAfter('Every RPC can fail with:', commentOf(service)) ?? [];
    return service.methods.map((method) => ({
      rpc: method.name,
      reasons: reasonsAfter('Fails with:', commentOf(method)),
      common,
    }));
  });
}

/** Words in capitals up to the end of the list; remarks in parentheses are none of them. */
export function reasonsAfter(heading: string, comment: string): string[] | undefined {
  const [, list] = comment.split(heading);
  const words = list?.split(/Result:|buf:lint/)[0]?.replaceAll(/\([^)]*\)/g, '');
  return words?.match(/\b[A-Z][A-Z_]{2,}\b/g) ?? (words === undefined ? undefined : []);
}

function commentOf(described: DescService | DescMethod): string {
  const service = described.kind === 'service' ? described : described.parent;
  const path = [SERVICES_OF_FILE, service.file.services.indexOf(service)];
  if (described.kind === 'rpc') path.push(METHODS_OF_SERVICE, service.methods.indexOf(described));
  const places = service.file.proto.sourceCodeInfo?.location ?? [];
  return places.find((place) => place.path.join() === path.join())?.leadingComments ?? '';
}
