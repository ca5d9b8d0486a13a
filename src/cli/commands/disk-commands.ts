import { readFile } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import { Command } from 'commander';
import { FindRootDiskResponse } from '../../gen/hostler/v1/image_service.js';
import { ask } from '../connection.js';
import type { Context } from '../context.js';
import { UsageError } from '../failure.js';
import { LocalFileError, systemProblem } from '../local-file.js';
import { printable } from '../text.js';

/** `hostler disk …`: disks of domains. */
export function diskCommands(context: Context): Command[] {
  return [
    new Command('find-root')
      .description('the root disk of a libvirt domain')
      .argument('[domain]', 'its name; libvirt is asked')
      .option('--xml <file>', "the domain's XML instead; - for standard input")
      .action((name: string | undefined, { xml }: { xml?: string }) =>
        context.use(async ({ images }) => {
          if ((name === undefined) === (xml === undefined))
            throw new UsageError('give the name of a domain, or --xml, not both');
          const domain =
            xml === undefined
              ? ({ $case: 'domainName', value: name ?? '' } as const)
              : ({
                  $case: 'domainXml',
                  value: await (xml === '-' ? readText(process.stdin) : readNamed(xml)),
                } as const);
          const answer = await ask<FindRootDiskResponse>((done) => images.findRootDisk({ domain }, done));
          const format = answer.format === undefined ? '' : `  ${printable(answer.format)}`;
          context.print(FindRootDiskResponse, answer, `${printable(answer.path)}${format}`);
        }),
      ),
  ];
}

/** Fails with LocalFileError, which names the file. */
async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new LocalFileError(systemProblem(error, path) ?? String(error));
  }
}
