/** A real one-node Ceph cluster on the loopback, for a suite or a bench. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../daemon.js';
import { installed, needs } from '../needs.js';
import type { Scratch } from '../scratch.js';
import { noteSecrets } from '../secrets.js';
import { sh } from '../shell.js';

const SCRIPT = join(ROOT_FOLDER, 'scripts/ceph.sh');
const TOOLS = ['ceph-mon', 'ceph-mgr', 'ceph-osd', 'rbd'];

export interface CephCluster {
  readonly configFile: string;
  readonly keyring: string;
  /** `rbd` as its administrator; what it prints. */
  rbd(...words: readonly string[]): Promise<string>;
  ceph(...words: readonly string[]): Promise<string>;
  /** Names of the pool's images that no caller made. */
  leftovers(pool?: string): Promise<string[]>;
  stopOsd(): Promise<unknown>;
  startOsd(): Promise<unknown>;
  /** The tables that a daemon needs to use it as its administrator. */
  toml(more?: { readonly cluster?: string; readonly pool?: string }): string;
}

export function cephInstalled(): boolean {
  return TOOLS.every(installed);
}

/** Call inside describe(). */
export function cephCluster(scratch: Scratch, auth: 'none' | 'cephx'): CephCluster {
  const folder = () => scratch.path(`ceph-${auth}`);
  before(async function startCluster() {
    this.timeout(180_000);
    needs(this, cephInstalled(), 'Ceph is not installed: make test-ceph installs it');
    scratch.onEnd(() => stopCeph(folder()));
    await startCeph(folder(), auth);
  });
  return clusterIn(folder, auth);
}

export async function startCeph(folder: string, auth: 'none' | 'cephx'): Promise<CephCluster> {
  await sh(SCRIPT, 'start', folder, auth);
  return clusterIn(() => folder, auth);
}

export async function stopCeph(folder: string): Promise<void> {
  await sh(SCRIPT, 'stop', folder);
}

function clusterIn(folder: () => string, auth: 'none' | 'cephx'): CephCluster {
  const configFile = () => join(folder(), 'ceph.conf');
  const keyring = () => join(folder(), 'keyring');
  const admin = (tool: string, words: readonly string[]) =>
    sh(tool, '--conf', configFile(), '--keyring', keyring(), ...words);
  return {
    get configFile() {
      return configFile();
    },
    get keyring() {
      return keyring();
    },
    rbd: (...words) => admin('rbd', words),
    ceph: (...words) => admin('ceph', words),
    async leftovers(pool = 'rbd') {
      const names = (await admin('rbd', ['ls', pool])).split('\n');
      return names.filter((name) => name.startsWith('.hostler-'));
    },
    stopOsd: () => sh(SCRIPT, 'stop-osd', folder()),
    startOsd: () => sh(SCRIPT, 'start-osd', folder()),
    toml({ cluster = '', pool = '' } = {}) {
      if (auth === 'cephx')
        for (const [, key] of readFileSync(keyring(), 'utf8').matchAll(/key = (\S+)/g)) noteSecrets({ key });
      const keys = auth === 'cephx' ? `keyring = "${keyring()}"\n` : '';
      return `[[clusters]]\nname = "test"\nconfig_file = "${configFile()}"\nuser = "admin"\n${keys}${cluster}
[[pools]]\nname = "rbd"\ncluster = "test"\n${pool}`;
    },
  };
}
