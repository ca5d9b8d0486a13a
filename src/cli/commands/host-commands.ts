import { Command } from 'commander';
import {
  GetArchitectureResponse,
  GetFilesystemInfoResponse,
  GetHostInfoResponse,
  GetInstancePathAtDestinationResponse,
  GetInstancePathResponse,
  GetIscsiInitiatorResponse,
  GetPoolInfoResponse,
  HostnameKind,
  IsMountedResponse,
  PickDiskDriverNameResponse,
  ValidateHostnameResponse,
  WatchFilesystemResponse,
  type FilesystemInfo,
  type RootInfo,
} from '../../gen/hostler/v1/host_info_service.js';
import type { Duration } from '../../gen/google/protobuf/duration.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { events } from '../follow.js';
import { EXIT } from '../help/exit-codes.js';
import { byteCount, seconds, wholeNumber } from '../options.js';
import { bytes, exactBytes, listing, table } from '../text.js';

/** `hostler host …`: facts about the host. */
export function hostCommands(context: Context): Command[] {
  return [
    info(context),
    filesystem(context),
    pool(context),
    watch(context),
    architecture(context),
    initiator(context),
    mounted(context),
    hostname(context),
    instancePath(context),
    instancePathAtDestination(context),
    diskDriver(context),
  ];
}

function filesystem(context: Context): Command {
  return new Command('fs')
    .description('space on the filesystem that holds a path')
    .argument('<path>')
    .action((path: string) =>
      context.use(async ({ host, at }) => {
        const answer = await ask<GetFilesystemInfoResponse>((done) => host.getFilesystemInfo({ path: at(path) }, done));
        context.print(GetFilesystemInfoResponse, answer, showFilesystem(answer.filesystem));
      }),
    );
}

function pool(context: Context): Command {
  return new Command('pool')
    .description('the space of a Ceph pool')
    .argument('<pool>')
    .action((name: string) =>
      context.use(async ({ host }) => {
        const answer = await ask<GetPoolInfoResponse>((done) => host.getPoolInfo({ pool: name }, done));
        const shown = listing([
          ['total', exactBytes(answer.totalBytes)],
          ['free', exactBytes(answer.freeBytes)],
          ['used', exactBytes(answer.usedBytes)],
        ]);
        context.print(GetPoolInfoResponse, answer, shown);
      }),
    );
}

function showFilesystem(fs: FilesystemInfo | undefined): string {
  return listing([
    ['total', fs && exactBytes(fs.totalBytes)],
    ['free', fs && exactBytes(fs.freeBytes)],
    ['used', fs && exactBytes(fs.usedBytes)],
    ['reserved', fs && exactBytes(fs.reservedBytes)],
    ['images may grow by', fs?.overcommittedBytes === undefined ? 'not known yet' : exactBytes(fs.overcommittedBytes)],
    ['type', fs?.filesystemType],
    ['mount point', fs?.mountPoint],
    ['device', fs?.device],
    ['inodes', fs && `${String(fs.freeInodes)} of ${String(fs.totalInodes)} free`],
  ]);
}

function watch(context: Context): Command {
  return new Command('watch')
    .description('the space on a filesystem, again whenever it changes')
    .argument('<path>')
    .option('--threshold <bytes>', 'report a change of more than this; 1 % by default', byteCount)
    .option('--interval <seconds>', 'seconds between two looks; 5 by default', seconds)
    .action((path: string, { threshold, interval }: { threshold?: bigint; interval?: Duration }) =>
      context.use(async ({ host, at }) => {
        const request = { path: at(path), thresholdBytes: threshold, interval };
        for await (const answer of events(host.watchFilesystem(request))) {
          const { freeBytes = 0n, totalBytes = 0n } = answer.filesystem ?? {};
          context.print(
            WatchFilesystemResponse,
            answer,
            `${new Date().toISOString()}  ${bytes(freeBytes)} of ${bytes(totalBytes)} free`,
          );
        }
      }),
    );
}

function info(context: Context): Command {
  return new Command('info').description('the agent, its tools, and what its roots can do').action(() =>
    context.use(async ({ host }) => {
      const answer = await ask<GetHostInfoResponse>((done) => host.getHostInfo({}, done));
      const head = listing([
        ['agent', `${answer.agentId}, version ${answer.agentVersion}`],
        ['kernel', `${answer.kernel}, ${answer.architecture}`],
        ['contract', `hostler.v1 ${answer.contractVersion}`],
        ['features', answer.features.join(' ')],
        ['sandbox', answer.sandbox],
        ['reads', answer.readableFormats.join(' ')],
        ['creates', answer.creatableFormats.join(' ')],
      ]);
      const tools = table(
        ['TOOL', 'VERSION'],
        answer.tools.map(({ name, path, version }) => [name, path === '' ? 'not installed' : version]),
      );
      const roots = table(
        ['ROOT', 'FILESYSTEM', 'CAN'],
        answer.roots.map((root) => [
          root.path,
          root.filesystemType,
          root.problem === '' ? abilities(root) : root.problem,
        ]),
      );
      const pools = table(
        ['POOL', 'CLUSTER', 'CAN'],
        answer.pools.map(({ name, cluster, writable, keepsBases }) => [
          `rbd:${name}`,
          cluster,
          `${writable ? 'write' : 'read only'}${keepsBases ? ', bases' : ''}`,
        ]),
      );
      const tables = [head, tools, roots, ...(answer.pools.length === 0 ? [] : [pools])];
      context.print(GetHostInfoResponse, answer, tables.join('\n\n'));
    }),
  );
}

function abilities({ writable, trusted, reflink, directIo, hardLinks, sparse }: RootInfo): string {
  const list = [
    writable ? 'write' : 'read only',
    trusted || 'untrusted',
    reflink && 'reflink',
    directIo && 'O_DIRECT',
    hardLinks && 'hard links',
    sparse && 'holes',
  ];
  return list.filter((word) => typeof word === 'string').join(', ');
}

function architecture(context: Context): Command {
  return new Command('arch')
    .description("the canonical name of an architecture, the host's when none is given")
    .argument('[architecture]')
    .action((imageArchitecture?: string) =>
      context.use(async ({ host }) => {
        const answer = await ask<GetArchitectureResponse>((done) => host.getArchitecture({ imageArchitecture }, done));
        context.print(GetArchitectureResponse, answer, answer.architecture);
      }),
    );
}

function initiator(context: Context): Command {
  return new Command('initiator').description("the host's iSCSI initiator name").action(() =>
    context.use(async ({ host }) => {
      const answer = await ask<GetIscsiInitiatorResponse>((done) => host.getIscsiInitiator({}, done));
      context.print(GetIscsiInitiatorResponse, answer, answer.configured ? answer.initiatorName : 'not configured');
    }),
  );
}

function mounted(context: Context): Command {
  return new Command('mounted')
    .description('whether a path is itself a mount point')
    .argument('<path>')
    .option('--source <source>', 'what must be mounted there')
    .action((mountPath: string, { source }: { source?: string }) =>
      context.use(async ({ host, at }) => {
        const answer = await ask<IsMountedResponse>((done) =>
          host.isMounted({ mountPath: at(mountPath), source }, done),
        );
        const what = answer.source === '' ? '' : ` (${answer.source}, ${answer.filesystemType})`;
        context.print(IsMountedResponse, answer, `${answer.mounted ? 'yes' : 'no'}${what}`);
        process.exitCode = answer.mounted ? EXIT.ok : EXIT.other;
      }),
    );
}

function hostname(context: Context): Command {
  return new Command('check-name')
    .description('whether a word is a host name or address')
    .argument('<name>')
    .action((name: string) =>
      context.use(async ({ host }) => {
        const answer = await ask<ValidateHostnameResponse>((done) => host.validateHostname({ hostname: name }, done));
        const kind = HostnameKind[answer.kind].replace('HOSTNAME_KIND_', '').toLowerCase();
        context.print(ValidateHostnameResponse, answer, answer.valid ? kind : 'not valid');
      }),
    );
}

function instancePath(context: Context): Command {
  return new Command('instance-path')
    .description('the folder of an instance')
    .argument('<uuid>')
    .option('--name <name>', 'name, for the old layout', '')
    .option('--force-old', 'the old layout, whether it exists or not')
    .option('--relative', 'the last component only')
    .action((uuid: string, flags: { name: string; forceOld?: true; relative?: true }) =>
      context.use(async ({ host }) => {
        const { name, forceOld = false, relative = false } = flags;
        const answer = await ask<GetInstancePathResponse>((done) =>
          host.getInstancePath({ instance: { uuid, name }, forceOld, relative }, done),
        );
        context.print(GetInstancePathResponse, answer, answer.path);
      }),
    );
}

function instancePathAtDestination(context: Context): Command {
  return new Command('instance-path-at-destination')
    .description('the folder of an instance that is migrated here')
    .argument('<uuid>')
    .argument('[folder]', 'the last component, where the migration gives it')
    .option('--name <name>', 'name, for the old layout', '')
    .action((uuid: string, folder: string | undefined, { name }: { name: string }) =>
      context.use(async ({ host }) => {
        const migrateData = folder === undefined ? undefined : { instanceRelativePath: folder };
        const answer = await ask<GetInstancePathAtDestinationResponse>((done) =>
          host.getInstancePathAtDestination({ instance: { uuid, name }, migrateData }, done),
        );
        context.print(GetInstancePathAtDestinationResponse, answer, answer.path);
      }),
    );
}

function diskDriver(context: Context): Command {
  return new Command('disk-driver')
    .description('the disk driver name for a hypervisor')
    .argument('<hypervisor>', 'kvm, qemu, xen, lxc, uml or parallels')
    .option('--hypervisor-version <number>', 'such as 4002000; xen needs it', wholeNumber)
    .option('--block', 'the disk is a block device')
    .action((virtType: string, flags: { hypervisorVersion?: number; block?: true }) =>
      context.use(async ({ host }) => {
        const { hypervisorVersion, block: isBlockDevice = false } = flags;
        const answer = await ask<PickDiskDriverNameResponse>((done) =>
          host.pickDiskDriverName({ virtType, hypervisorVersion, isBlockDevice }, done),
        );
        context.print(PickDiskDriverNameResponse, answer, answer.driverName ?? 'none');
      }),
    );
}
