/** A real nginx on the loopback that serves a folder, plainly and with certificates. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TRIES = 4000;

/** A request as nginx logged it. */
export interface Served {
  readonly status: number;
  readonly range: string;
  readonly bytes: number;
}

export class Nginx {
  private constructor(
    private readonly folder: string,
    private readonly child: ChildProcess,
    private readonly ports: ReadonlyMap<string, number>,
  ) {}

  /**
   * Serves `folder/www`. Each certificate, a path without `.pem` and `.key`, gets an https port.
   */
  static async start(folder: string, certificates: readonly string[] = []): Promise<Nginx> {
    const names = ['', ...certificates];
    const numbers = await freePorts(names.length);
    const ports = new Map(names.map((name, n) => [name, numbers[n] ?? 0]));
    await writeFile(join(folder, 'nginx.conf'), configuration(folder, ports));
    // One process, so that to end it is to end all of it.
    const words = ['-p', folder, '-e', 'error.log', '-c', 'nginx.conf', '-g', 'daemon off; master_process off;'];
    const nginx = new Nginx(folder, spawn('nginx', words, { stdio: 'ignore' }), ports);
    for (let tries = 0; !(await nginx.#listens()); tries++) {
      if (tries > START_TRIES || nginx.child.exitCode !== null) {
        await nginx.stop();
        throw new Error(await readFile(join(folder, 'error.log'), 'utf8'));
      }
      await sleep(25);
    }
    return nginx;
  }

  port(certificate = ''): number {
    return this.ports.get(certificate) ?? 0;
  }

  url(name: string, certificate?: string): string {
    return `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${String(this.port(certificate))}/${name}`;
  }

  /** Requests for a file so far, in the order in which they ended. */
  async served(name: string): Promise<Served[]> {
    const log = await readFile(join(this.folder, 'access.log'), 'utf8');
    return log
      .split('\n')
      .map((line) => line.split('\t'))
      .filter(([path]) => path === `/${name}`)
      .map(([, status, range = '', bytes]) => ({ status: Number(status), range, bytes: Number(bytes) }));
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }

  async #listens(): Promise<boolean> {
    const socket = connect(this.port(), '127.0.0.1');
    const came = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'close').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    return came;
  }
}

function configuration(folder: string, ports: ReadonlyMap<string, number>): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder};`);
  const servers = [...ports].map(([certificate, port]) =>
    certificate === ''
      ? `server { listen 127.0.0.1:${String(port)}; }`
      : `server { listen 127.0.0.1:${String(port)} ssl; ssl_certificate ${certificate}.pem; ssl_certificate_key ${certificate}.key;
           location = /down { return 302 http://127.0.0.1:${String(ports.get('') ?? 0)}/image; } }`,
  );
  return `pid ${folder}/nginx.pid;
events { }
http {
  ${temporary.join(' ')}
  log_format told "$uri\\t$status\\t$http_range\\t$body_bytes_sent";
  access_log ${folder}/access.log told;
  root ${folder}/www;
  ${servers.join('\n  ')}
}
`;
}

/** Of the loopback, and free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
