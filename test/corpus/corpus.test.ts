/**
 * Images of every kind that the tools of this world make, through every call that takes one in:
 * honest ones stay the same, wrong ones are refused.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ROOT_FOLDER, suiteDaemon } from '../support/daemon.js';
import { noise, qemuInfo } from '../support/images/disks.js';
import { FaultServer } from '../support/servers/fault-server.js';
import { installed, needs } from '../support/needs.js';
import { needsSandbox } from '../support/sandbox.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';
import { CallError, failure, type Message } from '../support/stranger.js';
import { corpusTables, HONEST, WRONG } from './corpus.js';
import { betweenMarks } from './marks.js';
import { CONTENTS, toolsOf, type Honest, type Wrong } from './recipe.js';

const MIB = 1 << 20;
const LARGE_BYTES = 20 * MIB;
type Way = 'ours' | 'drop' | 'file';
const PIECE_BYTES = 256 * 1024;
/** Built into the shell. */
const BUILT_IN = ['cd', 'echo', 'printf', 's', ':'];
/** What GetImageInfo may say of what is broken. */
const LOOKED_AT = ['IMAGE_MALFORMED', 'IMAGE_UNSAFE'];
const WRITERS = fileURLToPath(new URL('writers', import.meta.url));
/** What an upload may be: one of each kind and format comes over the wire so, too. */
const UPLOADED: ReadonlySet<Honest | Wrong> = new Set(
  [HONEST, WRONG].flatMap((recipes: readonly (Honest | Wrong)[]) =>
    [...Map.groupBy(recipes, ({ kind, format }) => `${kind} ${String(format)}`).values()].flatMap(([first]) =>
      first?.format === undefined ? [] : [first],
    ),
  ),
);

describe('the corpus', () => {
  const scratch = scratchFolder();
  before(needsSandbox);
  before(async () => {
    await mkdir(scratch.path('drop'));
    await mkdir(scratch.path('contents'));
    const contents: Record<(typeof CONTENTS)[number], Buffer> = {
      holes: Buffer.concat([noise(300_000), Buffer.alloc(2 * MIB - 300_000), noise(7 * 512, 2)]),
      dense: noise(MIB, 3),
      zeros: Buffer.alloc(2 * MIB),
      odd: noise(1_000_001, 4),
      text: Buffer.alloc(200_000, 'all work and no play\n'),
      parted: Buffer.alloc(4 * MIB),
    };
    for (const name of CONTENTS) await writeFile(scratch.path('contents', name), contents[name]);
    const script = 'PATH=$PATH:/usr/sbin; printf "label: dos\\n2048,,83\\n" | sfdisk -q "$0"';
    await sh('bash', '-c', script, scratch.path('contents', 'parted'));
  });
  const daemon = suiteDaemon(scratch, () => ({
    roots: `[[roots]]\npath = "${scratch.path('daemon')}/images"\n[[roots]]\npath = "${scratch.path('drop')}"\ntrusted = false\n`,
  }));
  const ours = (name: string) => daemon.get().image(name);
  const drop = (name: string) => scratch.path('drop', name);
  const run = (rpc: string, request: Message) => daemon.get().stranger.operation(`ImageService/${rpc}`, request);
  let server: FaultServer;
  let count = 0;
  before(async () => {
    server = await FaultServer.start();
    scratch.onEnd(() => server.close());
  });

  /** Makes the image and puts it where it is taken from; the names of its files. */
  const make = async (context: Mocha.Context, { make: command }: Honest | Wrong) => {
    for (const tool of toolsOf(command))
      needs(context, BUILT_IN.includes(tool) || installed(tool), `${tool} is not installed`);
    const name = `i${String(count++)}`;
    const folder = scratch.path(name);
    await mkdir(folder);
    await sh(
      'bash',
      '-c',
      `set -eu -o pipefail; D=$0; W=$2; cd "$1"; ${command}`,
      scratch.path('contents'),
      folder,
      WRITERS,
    );
    const image = `${folder}/image`;
    return { name, image, truth: `${folder}/truth`, remove: () => rm(folder, { recursive: true }) };
  };
  const fetch = (name: string, image: Buffer, more: Message = {}) =>
    run('FetchImage', { source: { http: { url: server.add('image', image) } }, target: ours(name), ...more });
  const convert = (source: string, source_format: string, target: string) =>
    run('ConvertImage', { source, source_format, target: ours(target), target_format: 'raw' });
  const upload = async (name: string, format: string, data: Buffer) => {
    const { stranger } = daemon.get();
    const begin = { target: ours(name), format, length_bytes: String(data.length) };
    const { upload_id } = await stranger.unary('ImageService/StartUpload', begin);
    const pieces = Array.from({ length: Math.ceil(data.length / PIECE_BYTES) }, (_, piece) => ({
      data: data.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES),
    }));
    const digest = createHash('sha256').update(data).digest('hex');
    return stranger.send('ImageService/UploadImage', [
      { header: { upload_id, offset: '0' } },
      ...pieces,
      { checksum: { algorithm: 'sha256', digest } },
    ]);
  };
  const info = async (name: string) => {
    const answer = await daemon.get().stranger.unary('ImageService/GetImageInfo', { path: ours(name) });
    return answer['info'] as Message;
  };
  const cleared = async (...paths: string[]) => {
    for (const path of paths) await rm(path, { force: true });
  };
  /** Byte by byte, holes being zeros, and of one length. */
  const same = async (first: string, second: string, what: string) => {
    assert.equal((await stat(second)).size, (await stat(first)).size, what);
    await identical(first, second, what);
  };
  const identical = async (first: string, second: string, what: string) => {
    const { stdout } = await tryRun('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', first, second]);
    assert.match(stdout, /^Images are identical/m, what);
  };

  const come = async (recipe: Honest, name: string, image: string, truth: string) => {
    const { by, format, member } = recipe;
    await sh('cp', '--sparse=always', image, ours(name));
    await sh('cp', '--sparse=always', image, drop(name));
    // What is large does not come over the wire.
    const isLarge = (await stat(image)).size > LARGE_BYTES;
    const packed = by === 'fetch';
    const found = await info(name);
    if (!packed) assert.equal(found['format'], format);
    await Promise.all([
      isLarge
        ? run('FetchImage', { source: { file: { path: ours(name) } }, target: ours(`${name}-kept`) })
        : fetch(`${name}-kept`, await readFile(image), member === undefined ? {} : { archive_member: member }),
      run('CopyImage', { source: ours(name), target: ours(`${name}-copy`) }),
      run('CopyImage', { source: drop(name), target: ours(`${name}-taken`) }),
      ...(UPLOADED.has(recipe) && !isLarge
        ? [upload(`${name}-sent`, packed ? 'raw' : format, await readFile(image))]
        : [copyFile(image, ours(`${name}-sent`))]),
    ]);
    await same(packed ? truth : image, ours(`${name}-kept`), 'kept');
    for (const way of ['copy', 'taken', 'sent']) await same(image, ours(`${name}-${way}`), way);
    if (packed) await content(name, image, 'raw', image, ['ours', 'drop']);
    if (by !== 'all') return;
    const { 'virtual-size': size } = existsSync(truth)
      ? { 'virtual-size': (await stat(truth)).size }
      : await qemuInfo(image, format);
    assert.equal(found['virtual_size_bytes'] ?? '0', String(size));
    await content(name, image, format, truth, ['ours', 'drop', 'file']);
  };
  /** What a guest sees is the truth, or what qemu-img says, whichever way it is read. */
  const content = async (name: string, image: string, format: string, truth: string, ways: readonly Way[]) => {
    const read = {
      ours: () => convert(ours(name), format, `${name}-ours`),
      drop: () => convert(drop(name), format, `${name}-drop`),
      file: () =>
        run('FetchImage', {
          source: { file: { path: ours(name) } },
          target: ours(`${name}-file`),
          target_format: 'raw',
        }),
    };
    const expected = existsSync(truth) ? truth : ours(`${name}-truth`);
    if (expected !== truth) await sh('qemu-img', 'convert', '-f', format, '-O', 'raw', image, expected);
    await Promise.all(ways.map((way) => read[way]()));
    for (const way of ways) await identical(expected, ours(`${name}-${way}`), way);
  };

  for (const recipe of HONEST)
    it(`honest: ${recipe.kind}: ${recipe.make}${recipe.member === undefined ? '' : ` (${recipe.member})`}`, async function () {
      const { name, image, truth, remove } = await make(this, recipe);
      try {
        await come(recipe, name, image, truth);
      } finally {
        await remove();
        await cleared(
          ...['', '-kept', '-copy', '-taken', '-sent', '-truth', '-ours', '-drop', '-file'].map((way) =>
            ours(`${name}${way}`),
          ),
          drop(name),
        );
      }
      assert.deepEqual(await daemon.get().leftovers(), []);
    });

  for (const recipe of WRONG)
    it(`wrong: ${recipe.kind}: ${recipe.make}${recipe.member === undefined ? '' : ` (${recipe.member})`}`, async function () {
      const { name, image, remove } = await make(this, recipe);
      const { format, member, reasons } = recipe;
      const refused = async (work: Promise<unknown>, how: string) => {
        const { reason, message } = await failure(work);
        assert.ok(reasons.includes(reason), `${how}: ${reason} ${message}`);
      };
      try {
        const said = { ...(format === undefined ? {} : { source_format: format }) };
        await copyFile(image, drop(name));
        await copyFile(image, ours(`${name}-in`));
        await refused(
          fetch(name, await readFile(image), { ...said, ...(member === undefined ? {} : { archive_member: member }) }),
          'fetched',
        );
        // To look at it is to hear what it is, or why nobody can tell.
        await info(`${name}-in`).catch((error: unknown) => {
          if (!(error instanceof CallError && LOOKED_AT.includes(error.reason))) throw error;
        });
        // A copy has no declared format: what is no container of any is bytes.
        const copies = run('CopyImage', { source: drop(name), target: ours(`${name}-copy`) });
        if (format === undefined || reasons.includes('FORMAT_MISMATCH')) {
          await copies;
          await same(image, ours(`${name}-copy`), 'copied out of the drop folder');
        } else {
          await refused(copies, 'copied out of the drop folder');
          await assert.rejects(stat(ours(`${name}-copy`)), 'nothing is published');
        }
        if (format !== undefined) {
          await refused(convert(drop(name), format, name), 'out of the drop folder');
          if (UPLOADED.has(recipe)) await refused(upload(name, format, await readFile(image)), 'uploaded');
        }
        if (recipe.everywhere === true && format !== undefined)
          await refused(convert(ours(`${name}-in`), format, name), 'ours');
        await assert.rejects(stat(ours(name)), 'nothing is published');
      } finally {
        await remove();
        await cleared(drop(name), ...['', '-in', '-copy'].map((way) => ours(`${name}${way}`)));
      }
      assert.deepEqual(await daemon.get().leftovers(), []);
    });

  it('docs/reference/corpus.md has the table of it', async () => {
    const text = await readFile(`${ROOT_FOLDER}docs/reference/corpus.md`, 'utf8');
    assert.equal(betweenMarks(text).trim(), corpusTables(), 'node dist/test/corpus/print-tables.js writes it');
  });
});
