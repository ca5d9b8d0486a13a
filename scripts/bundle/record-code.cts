/**
 * Preloaded into a program of the bundle: when it ends, what V8 has compiled of it is written
 * beside it, as src/cached-code.cts reads it.
 */
import fs = require('node:fs');
import path = require('node:path');
import vm = require('node:vm');
import zlib = require('node:zlib');

const CODE = path.join(__dirname, '../../bundle/code');
const HEAD_BYTES = 8;

interface Recorded {
  readonly script: vm.Script;
  readonly source: string;
  readonly name: string;
}

const scripts: Recorded[] = [];

vm.Script = class extends vm.Script {
  constructor(source: string, options: vm.ScriptOptions) {
    super(source, options);
    scripts.push({ script: this, source, name: options.filename ?? '' });
  }
};

process.on('exit', () => {
  for (const { script, source, name } of scripts) {
    const code = script.createCachedData();
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(zlib.crc32(Buffer.from(source, 'latin1')), 0);
    head.writeUInt32LE(zlib.crc32(code), HEAD_BYTES / 2);
    fs.writeFileSync(path.join(CODE, name.replace(/\.js$/, '.cache')), Buffer.concat([head, code]));
  }
});
