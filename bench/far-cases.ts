/**
 * Copies between two hosts, which are network namespaces: two daemons, a real sshd, qemu-nbd with
 * the same TLS.
 */
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Daemon } from '../test/support/daemon.js';
import { HERE, SSH_PORT, THERE, TwoHosts, agentToml, startSshd } from '../test/support/hosts/network.js';
import { Pki } from '../test/support/hosts/pki.js';
import { sh } from '../test/support/shell.js';
import { MAKE } from './copy-cases.js';
import type { Case, Contender } from './harness.js';

const A = { host: 'hv1.example', address: HERE.v4 };
const B = { host: 'hv2.example', address: THERE.v4 };
const ROUNDS = 3;

/**
 * The two hosts; `close` removes them. The copies are pulled by `here` from `there`, where the sshd
 * is.
 */
export async function openFarBench(folder: string): Promise<{ cases: Case[]; close: () => Promise<void> }> {
  const hosts = await TwoHosts.connect();
  const closes: (() => Promise<unknown>)[] = [() => hosts.remove()];
  const close = async () => {
    for (const each of closes.reverse()) await each();
  };
  try {
    await mkdir(folder, { recursive: true });
    const pki = await Pki.init(join(folder, 'pki'));
    for (const { host, address } of [A, B]) await pki.issue('agent', host, { dns: [host], ip: [address] });
    const sshd = await startSshd(join(folder, 'sshd'), hosts, hosts.there);
    closes.push(() => sshd.stop());
    const start = async (name: string, own: typeof A, other: typeof A, within: string[]) => {
      const { top, toml } = agentToml(pki, own, other);
      const daemon = await Daemon.start(join(folder, name), { toml: `${top}${toml}${sshd.toml}`, within });
      closes.push(() => daemon.stop());
      return daemon;
    };
    const here = await start('a', A, B, hosts.on(hosts.here));
    const there = await start('b', B, A, hosts.on(hosts.there));
    const options = sshOptions(join(folder, 'sshd'));
    return { cases: farCases({ here, there, hosts, options, folder }), close };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Bench {
  readonly here: Daemon;
  readonly there: Daemon;
  readonly hosts: TwoHosts;
  readonly options: string;
  readonly folder: string;
}

function farCases(bench: Bench): Case[] {
  const [sparse, dense] = [contenders('scattered 20 GiB', bench), contenders('dense 2 GiB', bench)];
  return [
    {
      name: 'far copy, 20 GiB with 0.8 GiB scattered',
      bar: '<= 1.25x qemu-img over NBD with TLS',
      rounds: ROUNDS,
      contenders: [sparse.ours('NBD_TLS'), sparse.nbd, sparse.ours('NBD_SSH')],
    },
    {
      name: 'far copy, dense 2 GiB',
      bar: '<= 0.6x scp, <= 1.0x ssh cat',
      rounds: ROUNDS,
      contenders: [dense.ours('NBD_TLS'), dense.nbd, dense.scp, dense.cat, dense.ours('NBD_SSH')],
    },
    {
      name: 'far copy by rsync, dense 2 GiB',
      bar: '<= 1.1x rsync --sparse',
      rounds: 1,
      warmUp: false,
      contenders: [dense.ours('RSYNC_SSH'), dense.rsync, dense.zipped],
    },
    {
      name: 'far copy against rsync, 20 GiB with 0.8 GiB scattered',
      bar: '>= 10x faster than rsync',
      rounds: 1,
      warmUp: false,
      contenders: [sparse.ours('NBD_TLS'), sparse.rsync],
    },
  ];
}

function contenders(kind: string, bench: Bench) {
  const { here, there, hosts, options } = bench;
  const name = kind.replaceAll(' ', '-');
  const [source, target] = [there.image(name), here.image(name)];
  const prepare = async () => {
    await rm(target, { force: true });
    if (!existsSync(source)) await sh('bash', '-c', MAKE[kind] ?? '', 'bash', source);
  };
  const verify = async () => {
    await sh('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', source, target);
  };
  const bare = (title: string, command: string): Contender => ({
    ...{ name: title, prepare, verify },
    run: async () => {
      await hosts.run(hosts.here, 'bash', '-c', `${command} && sync "$2"`, 'bash', source, target);
    },
  });
  const rsync = `rsync --sparse -e 'ssh ${options}'`;
  return {
    ours: (engine: string): Contender => ({
      ...{ name: engine, prepare, verify },
      run: async () => {
        await here.stranger.operation('ImageService/CopyImage', {
          ...{ source, target, engine: `COPY_ENGINE_${engine}`, remote_side: 'REMOTE_SIDE_SOURCE' },
          remote: engine === 'NBD_TLS' ? { host: B.host, agent: true } : { host: THERE.v4, port: SSH_PORT },
        });
      },
    }),
    nbd: { ...bareNbd(bench, source, target, prepare), verify },
    rsync: bare('rsync --sparse', `${rsync} ${THERE.v4}:"$1" "$2"`),
    zipped: bare('rsync --sparse --compress', `${rsync} --compress ${THERE.v4}:"$1" "$2"`),
    scp: bare('scp', `scp -O -q ${options.replace('-p ', '-P ')} ${THERE.v4}:"$1" "$2"`),
    cat: bare('ssh -c aes128-gcm cat', `ssh ${options} -c aes128-gcm@openssh.com ${THERE.v4} cat "$1" >"$2"`),
  };
}

/** qemu-img and qemu-nbd by hand, with the same cipher. */
function bareNbd({ hosts, folder }: Bench, source: string, target: string, prepare: () => Promise<void>): Contender {
  const [psk, port] = [join(folder, 'psk'), '16600'];
  const tls = (endpoint: string) =>
    `tls-creds-psk,id=t,endpoint=${endpoint}${endpoint === 'client' ? ',username=u' : ''},dir=${psk},priority=NORMAL:-CIPHER-ALL:+AES-128-GCM`;
  return {
    name: 'qemu-img over NBD with TLS',
    prepare: async () => {
      await prepare();
      await mkdir(psk, { recursive: true });
      await writeFile(join(psk, 'keys.psk'), `u:${'ab'.repeat(32)}\n`);
    },
    run: async () => {
      const words = ['netns', 'exec', hosts.there, 'qemu-nbd', '-r', '-x', 'x', '-b', THERE.v4, '-p', port];
      const server = spawn('ip', [...words, '--object', tls('server'), '--tls-creds', 't', '-f', 'raw', source]);
      const ended = new Promise((resolve) => server.once('exit', resolve));
      while (
        server.exitCode === null &&
        !(await hosts.run(hosts.there, 'cat', '/proc/self/net/tcp')).includes(':40D8 00000000:0000 0A')
      )
        await sleep(5);
      const from = `driver=nbd,server.type=inet,server.host=${THERE.v4},server.port=${port},export=x,tls-creds=t`;
      const words2 = [
        'convert',
        '-W',
        '-m',
        '16',
        '--object',
        tls('client'),
        '--image-opts',
        from,
        '-O',
        'raw',
        target,
      ];
      await hosts.run(hosts.here, 'qemu-img', ...words2);
      await sh('sync', target);
      await ended;
    },
  };
}

function sshOptions(folder: string): string {
  return `-p ${String(SSH_PORT)} -l root -F none -o BatchMode=yes -o UserKnownHostsFile=${folder}/known_hosts -o IdentityFile=${folder}/user_key`.replace(
    '-l root ',
    '-o User=root ',
  );
}
