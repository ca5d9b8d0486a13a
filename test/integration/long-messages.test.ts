/**
 * A peer sends what it likes: a message that no agent sends is refused by its length, before it is
 * decoded.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { asAddress } from '../../src/domain/model/address.js';
import { MapImageResponse } from '../../src/gen/hostler/v1/image_service.js';
import { PeerAgents } from '../../src/adapters/peers/agent-client.js';
import { Pki } from '../support/hosts/pki.js';
import { scratchFolder } from '../support/scratch.js';

const SILENCE_MS = 2000;
const HOST = 'hv2.example';
/** As long as an extent can be. */
const extent = (index: number) => ({
  offsetBytes: 2n ** 63n - 10_000n + 2n * BigInt(index),
  lengthBytes: 1n,
  data: true,
  zero: true,
  depth: 63,
  fileOffsetBytes: 2n ** 63n,
});
const pageOf = (extents: number) =>
  Buffer.from(MapImageResponse.encode({ extents: Array.from({ length: extents }, (_, n) => extent(n)) }).finish());

describe('what a peer sends', () => {
  const scratch = scratchFolder();
  let peers: PeerAgents;
  let pages: readonly Buffer[] = [];
  /** Instead of pages: one again and again, without end. */
  let drips = { page: Buffer.alloc(0), everyMs: 0 };

  before(async () => {
    const pki = await Pki.init(scratch.path('pki'));
    for (const host of [HOST, 'hv1.example']) await pki.issue('agent', host, { dns: [host] });
    const path = (name: string) => scratch.path('pki', name);
    const [key, cert] = [readFileSync(path(`${HOST}.key`)), readFileSync(path(`${HOST}.pem`))];
    const server = new Server();
    const asIs = (bytes: Buffer) => bytes;
    const mapImage = {
      ...{ path: '/hostler.v1.ImageService/MapImage', requestStream: false, responseStream: true },
      ...{ requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs },
    };
    server.addService(
      { mapImage },
      {
        mapImage(call: ServerWritableStream<Buffer, Buffer>) {
          if (drips.everyMs > 0) {
            const timer = setInterval(() => call.write(drips.page), drips.everyMs);
            call.on('cancelled', () => {
              clearInterval(timer);
            });
            return;
          }
          for (const page of pages) call.write(page);
          call.end();
        },
      },
    );
    const proof = ServerCredentials.createSsl(
      readFileSync(path('ca.pem')),
      [{ private_key: key, cert_chain: cert }],
      true,
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', proof, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    scratch.onEnd(() => {
      server.forceShutdown();
      return Promise.resolve();
    });
    peers = new PeerAgents({
      peers: [{ host: HOST, address: `127.0.0.1:${String(port)}`, trusted: false, exportNetworks: [] }],
      ownHost: 'hv1.example',
      tls: { ca: path('ca.pem'), cert: path('hv1.example.pem'), key: path('hv1.example.key') },
      patience: { answerMs: 10_000, silenceMs: SILENCE_MS },
    });
  });
  const mapped = async (limit = Infinity) => {
    const agent = await peers.connect(HOST);
    try {
      let count = 0;
      for await (const stretch of agent.map(asAddress('/x'), new AbortController().signal))
        if ((count += Number(stretch.lengthBytes > 0n)) >= limit) break;
      return count;
    } finally {
      await agent.close();
    }
  };

  it('is taken when it is what an agent sends, at its longest', async () => {
    pages = [pageOf(2000), pageOf(2000), pageOf(1)];
    assert.equal(await mapped(), 4001);
  });
  for (const [title, page] of [
    ['a page of 100,000 extents', pageOf(100_000)],
    ['a little more than an agent sends', pageOf(4000)],
    ['two million extents of nothing', Buffer.alloc(2 << 20, Buffer.from([0x0a, 0x00]))],
  ] as const)
    it(`is refused when it is ${title}`, async () => {
      pages = [pageOf(1), page];
      await assert.rejects(mapped(), { reason: 'REMOTE_UNREACHABLE' });
    });
  describe('now and then, without end', () => {
    afterEach(() => {
      drips = { page: Buffer.alloc(0), everyMs: 0 };
    });
    for (const [title, extents, everyMs] of [
      ['an extent', 1, SILENCE_MS / 4],
      ['a few extents', 20, SILENCE_MS / 40],
      ['an extent in each of many messages', 1, 5],
    ] as const)
      it(`is silence when it is ${title}`, async () => {
        drips = { page: pageOf(extents), everyMs };
        await assert.rejects(mapped(), { reason: 'STALLED' });
      });
    it('is none when each is a page as an agent sends it', async () => {
      drips = { page: pageOf(2000), everyMs: SILENCE_MS / 4 };
      // Longer than a silence may last.
      assert.equal(await mapped(12_000), 12_000);
    });
  });
});
