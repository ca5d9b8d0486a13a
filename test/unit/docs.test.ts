/** Names of files, reasons and RPCs in the docs are the ones in the code. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REASONS } from '../../src/domain/errors.js';
import { FINDINGS } from '../../src/domain/image-info.js';
import { ImageServiceService } from '../../src/gen/hostler/v1/image_service.js';
import { OperationServiceService } from '../../src/gen/hostler/v1/operation_service.js';
import { FileServiceService } from '../../src/gen/hostler/v1/file_service.js';
import { CommandServiceService } from '../../src/gen/hostler/v1/command_service.js';
import { commandHandlers } from '../../src/handlers/command.js';
import { fileHandlers } from '../../src/handlers/file.js';
import { hostHandlers } from '../../src/handlers/host-info.js';
import { imageHandlers } from '../../src/handlers/image.js';
import { operationHandlers } from '../../src/handlers/operation.js';
import { RPC_TABLE } from '../../src/handlers/rpc-table.js';
import { ROOT_FOLDER } from '../support/daemon.js';
import { WARNINGS } from '../../src/domain/operations/record.js';

const read = (path: string) => readFileSync(join(ROOT_FOLDER, path), 'utf8');
const docs = [
  'README.md',
  'CONTRIBUTING.md',
  ...['', 'adr/'].flatMap((folder) =>
    readdirSync(join(ROOT_FOLDER, 'docs', folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${folder}${name}`),
  ),
];
const upper = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);

describe('the docs', () => {
  for (const doc of docs) {
    const text = read(doc);

    it(`${doc}: links lead to files`, () => {
      for (const [, link = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)/g))
        assert.ok(existsSync(join(ROOT_FOLDER, dirname(doc), link)), link);
    });

    it(`${doc}: paths in code exist`, () => {
      for (const [, path = ''] of text.matchAll(/`((?:src|proto|docs|scripts|test|packaging|bench)\/[\w./-]+)`/g))
        assert.ok(path === 'bench/results.json' || existsSync(join(ROOT_FOLDER, path)), path);
    });

    it(`${doc}: reasons are in the table`, () => {
      for (const [, reason = ''] of text.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)) {
        if (
          /^(?:NOT_SERVING|LC_ALL|O_PATH|HOSTLER_ADDRESS|LOCAL_SPARSE|HOSTLER_TLS_\w+|CERT_HAS_EXPIRED)$/.test(reason)
        )
          continue;
        const known: readonly string[] = [...Object.keys(REASONS), ...FINDINGS, ...WARNINGS];
        assert.ok(known.includes(reason), reason);
      }
    });
  }

  it('the README lists what is served, no more and no less', () => {
    const served = (handlers: object) => Object.keys(handlers).map(upper).sort();
    const never = () => assert.fail('only the names are looked at');
    const ports = new Proxy({}, { get: (_, name) => (name === 'know' ? () => undefined : never) });
    const rows = [...read('README.md').matchAll(/^\| `hostler\.v1\.(\w+)` \| (.*) \|$/gm)].map(
      ([, name, list = '']) => [name, [...list.matchAll(/`(\w+)`/g)].map(([, rpc = '']) => rpc).sort()],
    );
    assert.deepEqual(Object.fromEntries(rows), {
      ImageService: served(imageHandlers(ports as never, ports as never)),
      HostInfoService: served(hostHandlers(ports as never)),
      CommandService: served(commandHandlers(ports as never, ports as never)),
      FileService: served(fileHandlers(ports as never, ports as never)),
      OperationService: served(operationHandlers(ports as never)),
    });
    assert.ok(Object.keys(ImageServiceService).length === Object.keys(RPC_TABLE.ImageService).length);
    assert.ok(Object.keys(OperationServiceService).length === Object.keys(RPC_TABLE.OperationService).length);
  });

  it('the README shows the 27 functions of the old module, and what is not pending is served', () => {
    const rows = [...read('README.md').matchAll(/^\| (\d+) +\| `\w+` +\| (.+?) +\| (.+?) +\|$/gm)];
    assert.deepEqual(
      rows.map(([, number]) => Number(number)),
      Array.from({ length: 27 }, (_, index) => index + 1),
    );
    const listed = read('README.md').split('## Parity')[0] ?? '';
    for (const [, number, rpcs = '', promise] of rows)
      for (const [, rpc = ''] of rpcs.matchAll(/(?:\w+\.)?(\w+)`/g))
        assert.equal(listed.includes(`\`${rpc}\``), promise !== 'pending', `row ${String(number)}: ${rpc}`);
  });

  it('RPCs that are served name only reasons of the table in their comments', () => {
    const served = new Set([
      'GetHostInfo',
      'GetFilesystemInfo',
      'WatchFilesystem',
      'FindRootDisk',
      'GetArchitecture',
      'GetIscsiInitiator',
      'IsMounted',
      'ValidateHostname',
      'GetInstancePath',
      'GetInstancePathAtDestination',
      'PickDiskDriverName',
      'DetectDiskType',
      'GetImageInfo',
      'MapImage',
      'MeasureImage',
      'CreateImage',
      'CreateOverlay',
      'ConvertImage',
      'ExtractSnapshot',
      'CopyImage',
      'DeleteImage',
      'ResizeImage',
      'RebaseImage',
      'CommitImage',
      'CheckImage',
      'CompareImages',
      'WipeImage',
      'CreateSnapshot',
      'DeleteSnapshot',
      'RevertSnapshot',
      'ListSnapshots',
      ...Object.keys(CommandServiceService).map(upper),
      ...Object.keys(FileServiceService).map(upper),
      ...Object.keys(OperationServiceService).map(upper),
    ]);
    let seen = 0;
    for (const file of ['command_service', 'file_service', 'host_info_service', 'image_service', 'operation_service']) {
      for (const [, comment = '', rpc = ''] of read(`proto/hostler/v1/${file}.proto`).matchAll(
        /((?: {2}\/\/ .*\n)+) {2}rpc (\w+)/g,
      )) {
        if (!served.has(rpc)) continue;
        seen += 1;
        const fails = comment.replaceAll('buf:lint:ignore RPC_', '').slice(comment.indexOf('Fails with:'));
        for (const [reason] of fails.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)) {
          if (/^(?:REQUEST_RESPONSE|RESPONSE_STANDARD)/.test(reason)) continue;
          assert.ok(reason in REASONS, `${rpc}: ${reason}`);
        }
      }
    }
    assert.equal(seen, served.size);
  });
});
