/** What the host provides for the daemon: filesystems, limits, a clock, certificates. */
import { X509Certificate } from 'node:crypto';
import { readFile, statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { Config } from '../../adapters/config/config.js';
import { LocalHostProbe } from '../../adapters/host/host-probe.js';
import { openRoots } from '../../adapters/paths/roots.js';
import type { ProcessRunner } from '../../adapters/process/process.js';
import { tryTool } from '../../adapters/process/try-tool.js';
import { asHostlerError } from '../../domain/model/errors.js';
import { OwnFileError } from '../../domain/model/own-files.js';
import { fine, note, problem, type HostFinding } from './finding.js';

const DAY_MS = 24 * 3600 * 1000;
/** Time to renew a certificate by hand. */
const EXPIRY_DAYS = 30;
/** With a smaller share of free space the next image may not fit. */
const LOW_SHARE = 0.05;
/** In addition to connections: roots, images of running operations, pipes of tools. */
const OWN_DESCRIPTORS = 1024;
const OWN_PROCESSES = 512;

/**
 * What the filesystem of each root supports, tested in a private folder that is removed afterwards.
 */
export async function rootFindings({ roots, limits }: Config, runner: ProcessRunner): Promise<HostFinding[]> {
  const found = await Promise.all(
    roots.map(async ({ path, access, trusted }): Promise<HostFinding[]> => {
      try {
        const opened = await openRoots([{ path, access, trusted, attributes: {} }], limits.root_patience_ms);
        try {
          return [await features(path, new LocalHostProbe(runner, opened, [], 'doctor')), await space(path)];
        } finally {
          await Promise.all(opened.map(({ handle }) => handle.close()));
        }
      } catch (error) {
        // The check of the configuration reports the same.
        if (error instanceof OwnFileError) return [];
        const mend = 'mount it, or give the user of the daemon the right to read and write it';
        return [problem('roots', `${path} cannot be used: ${asHostlerError(error).message}`, mend)];
      }
    }),
  );
  return found.flat();
}

async function features(path: string, probe: LocalHostProbe): Promise<HostFinding> {
  const [root] = probe.roots;
  if (root === undefined) return note('roots', `${path} is no root of files`);
  const { filesystemType, reflink, directIo, sparse, hardLinks } = await probe.features(root);
  if (!root.writable) return fine('roots', `${path}: ${filesystemType}, read-only`);
  const able = { reflink, 'direct I/O': directIo, 'sparse files': sparse, 'hard links': hardLinks };
  const lacks = Object.entries(able).flatMap(([name, can]) => (can ? [] : [name]));
  if (lacks.length === 0) return fine('roots', `${path}: ${filesystemType}, ${Object.keys(able).join(', ')}`);
  const says = `${path}: ${filesystemType} without ${lacks.join(', ')}: copies take longer, or more space`;
  return note('roots', says, 'use XFS (mkfs.xfs -m reflink=1) or btrfs for images');
}

async function space(path: string): Promise<HostFinding> {
  const { bavail, blocks, bsize } = await statfs(path);
  const gib = (count: number) => `${((count * bsize) / 1024 ** 3).toFixed(1)} GiB`;
  const says = `${path}: ${gib(bavail)} of ${gib(blocks)} free`;
  const mend = 'remove images, lower cache.max_bytes, or grow the filesystem';
  return bavail < blocks * LOW_SHARE ? problem('roots', says, mend) : fine('roots', says);
}

/** Limits of this process; under systemd the unit may have others. */
export async function limitFindings({ limits }: Config): Promise<HostFinding[]> {
  const text = await readFile('/proc/self/limits', 'utf8');
  const files = limits.connections + OWN_DESCRIPTORS;
  return [
    limit(text, 'Max open files', files, `LimitNOFILE=${String(files)} in the unit, or ulimit -n ${String(files)}`),
    limit(text, 'Max processes', OWN_PROCESSES, `TasksMax=${String(OWN_PROCESSES)} in the unit, or ulimit -u`),
  ];
}

function limit(text: string, name: string, least: number, mend: string): HostFinding {
  const soft = new RegExp(`^${name} +(\\S+)`, 'm').exec(text)?.[1] ?? '';
  const says = `${name.toLowerCase()}: ${soft}`;
  return soft === 'unlimited' || Number(soft) >= least
    ? fine('limits', says)
    : problem('limits', `${says}, and the daemon may need ${String(least)}`, mend);
}

/** With a wrong clock valid certificates are expired, and times of operations are wrong. */
export async function clockFinding(runner: ProcessRunner): Promise<HostFinding> {
  const answer = await tryTool(runner)('timedatectl', 'show', '--property=NTPSynchronized', '--value');
  const says = answer?.trim();
  if (says === 'yes') return fine('clock', 'synchronised');
  const mend = 'apt install systemd-timesyncd, or chrony';
  if (says === 'no') return problem('clock', 'it is not synchronised', mend);
  return note('clock', 'timedatectl cannot say whether it is synchronised', mend);
}

/** How long the certificate is valid, and for which names. `config` reports broken files. */
export async function certificateFindings({ tls }: Config): Promise<HostFinding[]> {
  if (tls === undefined) return [];
  const pem = await readFile(tls.cert).catch(() => undefined); // reported by the check of the configuration
  if (pem === undefined) return [];
  const certificate = new X509Certificate(pem);
  const { validTo, subjectAltName = '' } = certificate;
  const days = Math.floor((Date.parse(validTo) - Date.now()) / DAY_MS);
  const mend = 'issue a new one, and put it in the place of the old one: the daemon takes it by itself';
  const expires = `${tls.cert} is valid until ${validTo}`;
  return [
    days < EXPIRY_DAYS ? problem('tls', `${expires}: ${String(days)} days`, mend) : fine('tls', expires),
    certificate.checkHost(hostname()) === undefined
      ? note(
          'tls',
          `${tls.cert} is not for ${hostname()}, but for ${subjectAltName}`,
          'call the daemon by one of these',
        )
      : fine('tls', `${tls.cert} is for ${subjectAltName}`),
  ];
}
