/** What a call of the contract is made of. */

/** An RPC: how its messages are written, and its request with defaults for what is left out. */
export interface Rpc<Fields, Request, Response> {
  /** `/hostler.v1.ImageService/CreateImage`. */
  readonly path: string;
  readonly serialize: (request: Request) => Buffer;
  readonly deserialize: (bytes: Buffer) => Response;
  readonly request: (fields: Fields) => Request;
}

interface Definition<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** From the generated definition and the generated way to fill in defaults. */
export function rpc<Fields, Request, Response>(
  definition: Definition<Request, Response>,
  request: (fields: Fields) => Request,
): Rpc<Fields, Request, Response> {
  const { path, requestSerialize: serialize, responseDeserialize: deserialize } = definition;
  return { path, serialize, deserialize, request };
}
