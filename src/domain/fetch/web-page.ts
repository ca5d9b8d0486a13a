import { HostlerError } from '../errors.js';

const HEAD_BYTES = 256;
/** No image, kernel or archive begins with so much text. */
const TEXT = /^[\t\n\f\r\x20-\x7e\x80-\xff]*$/;

/**
 * A body whose server calls it a web page. Some call every file so: it is one, in the place of an image, when it begins as a text.
 * Fails with SOURCE_UNAVAILABLE: whoever shows a page instead of the image may have it later.
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

function assertNoText(head: Buffer, what: string): void {
  if (!isText(head.subarray(0, HEAD_BYTES))) return;
  throw new HostlerError('SOURCE_UNAVAILABLE', `${what} answered with a web page`, { facts: { source: what } });
}

function isText(head: Buffer): boolean {
  if (!TEXT.test(head.toString('latin1'))) return false;
  try {
    // What an image has beyond ASCII is seldom UTF-8. The last character may be cut.
    new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}
