import { Command } from 'commander';
import {
  GetArchitectureResponse,
  GetFilesystemInfoResponse,
  GetInstancePathResponse,
  GetIscsiInitiatorResponse,
  HostnameKind,
  IsMountedResponse,
  PickDiskDriverNameResponse,
  ValidateHostnameResponse,
} from '../gen/hostler/v1/host_info_service.js';
import { ask } from './connection.js';
import type { Context } from './context.js';
import { address } from './options.js';
import { exactBytes, listing } from './text.js';

/** `hostler host …`: what the host is. */
export function hostCommands(context: Context): Command[] {
  return [
    filesystem(context),
    architecture(context),
    initiator(context),
    mounted(context),
    hostname(context),
    instancePath(context),
    diskDriver(context),
  ];
}

function filesystem(context: Context): Command {
  return new Command('fs')
    .description('space on the filesystem that holds a path')
    .argument('<path>')
    .action((path: string) =>
      context.use(async ({ host }) => {
        const answer = await ask<GetFilesystemInfoResponse>((done) =>
          host.getFilesystemInfo({ path: address(path) }, done),
        );
        const fs = answer.filesystem;
        const text = listing([
          ['total', fs && exactBytes(fs.totalBytes)],
          ['free', fs && exactBytes(fs.freeBytes)],
          ['used', fs && exactBytes(fs.usedBytes)],
          ['reserved', fs && exactBytes(fs.reservedBytes)],
          ['type', fs?.type],
          ['mount point', fs?.mountPoint],
          ['device', fs?.device],
          ['inodes', fs && `${String(fs.freeInodes)} of ${String(fs.totalInodes)} free`],
        ]);
        context.print(GetFilesystemInfoResponse.toJSON(answer), text);
      }),
    );
}

function architecture(context: Context): Command {
  return new Command('arch')
    .description("the canonical name of an architecture, the host's when none is given")
    .argument('[architecture]')
    .action((imageArchitecture?: string) =>
      context.use(async ({ host }) => {
        const answer = await ask<GetArchitectureResponse>((done) => host.getArchitecture({ imageArchitecture }, done));
        context.print(GetArchitectureResponse.toJSON(answer), answer.architecture);
      }),
    );
}

function initiator(context: Context): Command {
  return new Command('initiator').description("the host's iSCSI initiator name").action(() =>
    context.use(async ({ host }) => {
      const answer = await ask<GetIscsiInitiatorResponse>((done) => host.getIscsiInitiator({}, done));
      context.print(
        GetIscsiInitiatorResponse.toJSON(answer),
        answer.configured ? answer.initiatorName : 'not configured',
      );
    }),
  );
}

function mounted(context: Context): Command {
  return new Command('mounted')
    .description('whether a path is itself a mount point')
    .argument('<path>')
    .option('--source <source>', 'what must be mounted there')
    .action((mountPath: string, { source }: { source?: string }) =>
      context.use(async ({ host }) => {
        const answer = await ask<IsMountedResponse>((done) => host.isMounted({ mountPath, source }, done));
        const what = answer.source === '' ? '' : ` (${answer.source}, ${answer.filesystemType})`;
        context.print(IsMountedResponse.toJSON(answer), `${answer.mounted ? 'yes' : 'no'}${what}`);
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
        context.print(ValidateHostnameResponse.toJSON(answer), answer.valid ? kind : 'not valid');
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
        context.print(GetInstancePathResponse.toJSON(answer), answer.path);
      }),
    );
}

function diskDriver(context: Context): Command {
  return new Command('disk-driver')
    .description('the disk driver name for a hypervisor')
    .argument('<hypervisor>', 'kvm, qemu, xen, lxc, uml or parallels')
    .option('--hypervisor-version <number>', 'such as 4002000; xen needs it', Number)
    .option('--block', 'the disk is a block device')
    .action((virtType: string, flags: { hypervisorVersion?: number; block?: true }) =>
      context.use(async ({ host }) => {
        const { hypervisorVersion, block: isBlockDevice = false } = flags;
        const answer = await ask<PickDiskDriverNameResponse>((done) =>
          host.pickDiskDriverName({ virtType, hypervisorVersion, isBlockDevice }, done),
        );
        context.print(PickDiskDriverNameResponse.toJSON(answer), answer.driverName ?? 'none');
      }),
    );
}
