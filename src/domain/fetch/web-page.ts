import { HostlerError } from '../model/errors.js';
import { isText } from '../formats/no-disk/texts.js';

/** No image, kernel or archive begins with this much text. */
const HEAD_BYTES = 256;
/**
 * Refuses a body that the server declares to be a web page. Some servers declare every file so: it
 * counts as a page only if it begins as text. Fails with SOURCE_UNAVAILABLE: the server may send
 * the image later.
 */
export async function* withoutWebPage(body: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array, void> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const piece of body) {
    if (head === undefined) {
      yield piece;
      continue;
    }
    head = Buffer.concat([head, piece]);
    if (head.length < HEAD_BYTES) continue;
    assertNoText(head, what);
    yield head;
    head = undefined;
  }
  if (head === undefined) return;
  assertNoText(head, what);
  yield head;
}

/** An empty body counts as a page too. */
function assertNoText(head: Buffer, what: string): void {
  if (head.length > 0 && !isText(head.subarray(0, HEAD_BYTES))) return;
  throw new HostlerError('SOURCE_UNAVAILABLE', `${what} answered with a web page`, { facts: { source: what } });
}
