/**
 * An example scheduler: it fetches an image into the cache of a host, gives a guest an overlay on
 * it, resizes that, watches from a second connection, cancels by label, and survives a daemon that
 * is killed.
 *   node scheduler.ts ROOT WWW-FOLDER WWW-URL [grpc-js | connect]
 * ROOT is a folder for images on the host, WWW-FOLDER what the web server at WWW-URL serves. The
 * address and the certificates are those of the environment or of a context. KILL_DAEMON is a shell
 * command that kills the daemon with SIGKILL and lets it start again.
 */
import { execSync } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostlerError, connect, grpcJsTransport, type Hostler } from '@hostler/client';
import { connectTransport } from '@hostler/client/connect';
import { OperationState, type OperationEvent } from '@hostler/client/v1';

const [root = '/srv/images', wwwFolder = '.', url = '', library = 'grpc-js'] = process.argv.slice(2);
const MIB = 1024n * 1024n;
const run = randomUUID().slice(0, 8);
const labels = { scheduler: 'example', run };
/** A scheduler stores the id of a request with its work, before the call. */
const lastRequest = randomUUID();
const image = (name: string) => join(root, `${run}-${name}`);
const say = (text: string) => process.stdout.write(`${text}\n`);

async function main(): Promise<void> {
  const transport = library === 'connect' ? connectTransport : grpcJsTransport;
  const hostler = await connect({ transport });
  const watcher = await connect({ transport });
  say(`connected to ${hostler.address} by ${library}, agent ${hostler.info?.agentVersion ?? '?'}`);
  await hostler.require('cursors');
  const stop = new AbortController();
  const watching = watch(watcher, stop.signal);
  watching.catch(() => undefined); // It is awaited below, unless something else fails before.
  try {
    const base = await fetchBase(hostler);
    const disk = await makeDisk(hostler, base);
    await errorByReason(hostler, disk);
    await cancelByLabel(hostler, base);
    await surviveKill(hostler, base);
    say(`the second connection saw the ends of ${String(await watching)} operations`);
  } finally {
    stop.abort();
    hostler.close();
    watcher.close();
  }
}

/** Publishes an image on the web server, and fetches it with its checksum into the cache. */
async function fetchBase(hostler: Hostler): Promise<string> {
  const content = randomBytes(Number(8n * MIB));
  writeFileSync(join(wwwFolder, `${run}.raw`), content);
  const checksum = { algorithm: 'sha256', digest: createHash('sha256').update(content).digest('hex') };
  const target = image('base.raw');
  const operation = hostler.images.fetchImage({
    source: { source: { case: 'http', value: { url: `${url}/${run}.raw` } } },
    sourceFormat: 'raw',
    target,
    checksum,
    useCache: true,
    labels,
  });
  for await (const event of operation) say(`  fetch: ${describe(event)}`);
  const { info } = await operation.result('fetch');
  say(`fetched ${target}: ${String(info?.virtualSizeBytes)} bytes, checksum as expected`);
  return target;
}

/** An overlay for a guest, larger than its base. */
async function makeDisk(hostler: Hostler, base: string): Promise<string> {
  const path = image('guest.qcow2');
  await hostler.images.createOverlay({ path, backingFile: base, backingFormat: 'raw', labels }).result('image');
  const resize = { path, format: 'qcow2', virtualSize: { case: 'size', value: '1G' }, labels } as const;
  const { info } = await hostler.images.resizeImage(resize).result('image');
  say(`overlay ${path} on ${base}, now ${String(info?.virtualSizeBytes)} bytes`);
  return path;
}

/** What to do is decided by the reason of an error, never by its message. */
async function errorByReason(hostler: Hostler, path: string): Promise<void> {
  try {
    await hostler.images
      .createImage({ path, format: 'qcow2', virtualSize: { case: 'size', value: '1G' }, labels })
      .result();
    throw new Error('an image was replaced that must not be');
  } catch (error) {
    if (!(error instanceof HostlerError) || error.reason !== 'TARGET_EXISTS') throw error;
    say(`as expected: ${error.reason}, path ${error.facts['path'] ?? '?'}`);
  }
}

/** A slow conversion of a guest that is wanted no more. */
async function cancelByLabel(hostler: Hostler, base: string): Promise<void> {
  const guest = { ...labels, guest: 'gone' };
  const slow = hostler.images.convertImage({
    source: base,
    sourceFormat: 'raw',
    target: image('gone.qcow2'),
    targetFormat: 'qcow2',
    bandwidthBytesPerSecond: MIB,
    labels: guest,
  });
  for await (const event of slow) if (event.state === OperationState.RUNNING) break;
  const { operations } = await hostler.operations.cancelOperation({ labels: guest });
  const reason = await slow.result().catch((error: unknown) => (error instanceof HostlerError ? error.reason : error));
  say(`cancelled by label: ${String(operations.length)} operation, its caller got ${String(reason)}`);
}

/** The daemon is killed in the middle; the same call gets the result, once. */
async function surviveKill(hostler: Hostler, base: string): Promise<void> {
  const request = {
    source: base,
    sourceFormat: 'raw',
    target: image('survivor.qcow2'),
    targetFormat: 'qcow2',
    bandwidthBytesPerSecond: 4n * MIB,
    labels,
    requestId: lastRequest,
  };
  const operation = hostler.images.convertImage(request, { retry: { firstDelayMs: 200, maxDelayMs: 1000 } });
  for await (const event of operation) if ((event.progress?.doneBytes ?? 0n) > 0n) break;
  const first = operation.id;
  const kill = process.env['KILL_DAEMON'];
  if (kill === undefined) say('KILL_DAEMON is not set: the daemon is not killed');
  else execSync(kill);
  await operation.result('image');
  say(`survived: operation ${first ?? '?'} was followed by ${operation.id ?? '?'}`);
  const { replayed } = await hostler.images.convertImage(request).result();
  say(`the same request id again: replayed is ${String(replayed)}`);
}

/** Counts the ends of this run's operations, through restarts of the daemon, to the last one. */
async function watch(hostler: Hostler, signal: AbortSignal): Promise<number> {
  let ended = 0;
  const retry = { firstDelayMs: 200, maxDelayMs: 1000 };
  for await (const { event, method, requestId } of hostler.watch({ filter: { labels } }, { signal, retry })) {
    if (event?.result === undefined && event?.error === undefined) continue;
    ended++;
    say(`  watch: ${method} ${describe(event)}`);
    if (requestId === lastRequest && event.result !== undefined) break;
  }
  return ended;
}

function describe({ state, progress }: OperationEvent): string {
  const done = progress === undefined ? '' : `, ${String(progress.doneBytes)} bytes`;
  return `${OperationState[state].toLowerCase()}${done}`;
}

await main();
