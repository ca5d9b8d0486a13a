/**
 * Loads the program of each thread of the bundle, so that V8 compiles it. Outside of a thread most
 * of them end at once, because nothing was given to them.
 */
import fs = require('node:fs');
import path = require('node:path');

const bundle = path.join(__dirname, '../../bundle');
// In order: the bytes depend on it.
for (const name of fs.readdirSync(bundle).sort())
  if (name.endsWith('-worker.js'))
    try {
      require(path.join(bundle, name));
    } catch {
      // Its libraries are loaded, which is what takes long.
    }
// Some wait for messages.
process.exit();
