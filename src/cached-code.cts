/**
 * Runs a bundled program or thread, with the code that V8 compiled for it when it was built:
 * reading that takes a fraction of the time of compiling. The bundle has a copy of this file for
 * each of them: dist/bundle/NAME.js runs dist/bundle/code/NAME.js, which defines one function, with
 * dist/bundle/code/NAME.cache. Without a cache that fits, all is compiled: the cache is never an
 * error.
 */
import fs = require('node:fs');
import path = require('node:path');
import vm = require('node:vm');
import zlib = require('node:zlib');

type Program = (
  exports: unknown,
  require: NodeJS.Require,
  module: NodeJS.Module,
  filename: string,
  dirname: string,
) => void;

/** In front of the compiled code: the CRC-32 of its source, and its own; little-endian. */
const HEAD_BYTES = 8;

/**
 * The compiled code of a source. Undefined if there is none that can be read and is whole: V8
 * itself checks neither the bytes nor the source, only its version, its options and the length of
 * the source.
 */
function compiledCode(file: string, source: Buffer): Buffer | undefined {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file);
  } catch {
    return undefined; // all is compiled
  }
  if (bytes.length <= HEAD_BYTES || bytes.readUInt32LE(0) !== zlib.crc32(source)) return undefined;
  const code = bytes.subarray(HEAD_BYTES);
  return bytes.readUInt32LE(4) === zlib.crc32(code) ? code : undefined;
}

// Without the folder, so that the compiled code is the same wherever it is built.
const filename = path.basename(__filename);
const file = path.join(__dirname, 'code', filename);
const source = fs.readFileSync(file);
const cachedData = compiledCode(file.replace(/\.js$/, '.cache'), source);
// The bundle has nothing but ASCII.
const script = new vm.Script(source.toString('latin1'), {
  filename,
  ...(cachedData === undefined ? {} : { cachedData }),
});
// eslint-disable-next-line @typescript-eslint/consistent-type-assertions -- what the bundle is
const program = script.runInThisContext() as Program;
program(exports, require, module, __filename, __dirname);
