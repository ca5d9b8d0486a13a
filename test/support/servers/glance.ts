/** A real Glance API server on the loopback, for a suite. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../daemon.js';
import { installed, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { sh } from '../shell.js';

const SCRIPT = join(ROOT_FOLDER, 'scripts/glance.sh');
const TOOLS = ['glance-api', 'glance-manage', 'curl'];

export interface UploadedImage {
  readonly id: string;
  readonly os_hash_algo: string;
  readonly os_hash_value: string;
  readonly virtual_size: number | null;
}

export interface GlanceServer {
  readonly endpoint: string;
  readonly port: number;
  /** Where it keeps the data of an image. */
  data(id: string): string;
  /** An image without data. */
  create(properties: Readonly<Record<string, unknown>>): Promise<string>;
  /** An image with the data of a file, sent by curl. */
  upload(path: string, properties: Readonly<Record<string, unknown>>): Promise<UploadedImage>;
}

/** Call inside describe(). */
export function glanceServer(scratch: Scratch): GlanceServer {
  const folder = () => scratch.path('glance');
  let endpoint = '';
  before(async function startGlance() {
    this.timeout(180_000);
    needs(this, TOOLS.every(installed), 'Glance is not installed: make test-glance installs it');
    scratch.onEnd(() => sh(SCRIPT, 'stop', folder()));
    endpoint = (await sh(SCRIPT, 'start', folder())).trim();
  });
  const curl = (...words: readonly string[]) => sh('curl', '-sSf', '-H', 'X-Roles: admin', ...words);
  const create = async (properties: Readonly<Record<string, unknown>>) => {
    const body = JSON.stringify({ name: 'test', container_format: 'bare', visibility: 'community', ...properties });
    const answer = await curl('-H', 'Content-Type: application/json', '-d', body, `${endpoint}/v2/images`);
    return (JSON.parse(answer) as UploadedImage).id;
  };
  return {
    get endpoint() {
      return endpoint;
    },
    get port() {
      return Number(new URL(endpoint).port);
    },
    data: (id) => join(folder(), 'images', id),
    create,
    async upload(path, properties) {
      const image = `${endpoint}/v2/images/${await create(properties)}`;
      await curl('-X', 'PUT', '-H', 'Content-Type: application/octet-stream', '-T', path, `${image}/file`);
      const found = JSON.parse(await curl(image)) as UploadedImage & { status: string };
      assert.equal(found.status, 'active');
      return found;
    },
  };
}
