/** What is served can be called from the command line. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../../support/daemon.js';
import { services } from '../../support/descriptors.js';

/** RPCs without a command, with the reason. */
const NO_COMMAND: Readonly<Record<string, string>> = {
  OpenExport: 'for agents that pull a copy; the key that it answers is no use in a shell',
  CloseExport: 'ends what OpenExport opened',
};

const folder = join(ROOT_FOLDER, 'src/cli');
const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(folder, name), 'utf8'))
  .join('\n');
/** `images.resizeImage(` of a client, or `IMAGE_SERVICE.uploadImage.` of its definition. */
const called = new Set(
  [...sources.matchAll(/\b(?:commands|files|host|images|operations|\w+_SERVICE)\.(\w+)\b/g)].map(
    ([, name = '']) => name,
  ),
);

describe('the command line', () => {
  for (const { name: service, methods } of services())
    for (const { name, localName } of methods)
      it(`${service}/${name} has a command, or a reason why not`, () => {
        assert.notEqual(called.has(localName), name in NO_COMMAND, NO_COMMAND[name] ?? 'src/cli does not call it');
      });
});
