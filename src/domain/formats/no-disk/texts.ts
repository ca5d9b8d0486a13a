/** Beginnings of texts that are sometimes mistaken for images. */
const KINDS: readonly (readonly [string, RegExp])[] = [
  ['a web page', /^<(?:!doctype\s+html|html[\s>])/i],
  ['an XML or HTML document', /^<[?!a-z_]/i],
  ['a JSON document', /^(?:\{\s*["}]|\[\s*[\]"{[\d-])/],
  ['a Git LFS pointer', /^version https:\/\/git-lfs/],
  ['a PEM file', /^-----BEGIN /],
  ['a script', /^#!/],
  ['an answer of a web server', /^HTTP\/\d/],
  ['a cloud-init file', /^#cloud-config/],
];
/** No disk begins with this much text. */
const TEXT_BYTES = 512;
/** Tab, line feed, form feed, carriage return, and escape, which begins colour codes. */
const CONTROLS_OF_TEXTS = [0x09, 0x0a, 0x0c, 0x0d, 0x1b];
const DELETE = 0x7f;

/** The kind of a text, with an article; undefined: not a text, or of an unknown kind. */
export function textName(head: Buffer): string | undefined {
  const first = head.subarray(0, TEXT_BYTES);
  const text = ofTwoBytes(first) ?? (isText(first) ? first.toString('utf8') : undefined);
  const begins = text?.replace(/^\ufeff/, '').trimStart();
  return begins === undefined ? undefined : KINDS.find(([, pattern]) => pattern.test(begins))?.[0];
}

/** Whether the bytes are UTF-8 without other control characters. The last character may be cut. */
export function isText(bytes: Buffer): boolean {
  if (bytes.length === 0 || bytes.some(isControl)) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false; // not UTF-8
  }
}

function isControl(byte: number): boolean {
  return byte === DELETE || (byte < 0x20 && !CONTROLS_OF_TEXTS.includes(byte));
}

/** UTF-16 has a byte order mark; without one, half of the first character is zero. */
function ofTwoBytes(head: Buffer): string | undefined {
  const [first = 0, second = 0] = head;
  const marked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (!marked && (first === 0) === (second === 0)) return undefined;
  const little = marked ? first === 0xff : second === 0;
  const text = new TextDecoder(little ? 'utf-16le' : 'utf-16be').decode(head);
  return isText(Buffer.from(text)) ? text : undefined;
}
