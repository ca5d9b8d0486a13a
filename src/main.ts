/** Composition root: config -> adapters -> domain -> handlers -> server. */
import { fileURLToPath } from 'node:url';
import { ConfigError, showConfig, type Config } from './adapters/config/config.js';
import { JournalUnavailable } from './adapters/journal/store.js';
import { errorText } from './adapters/telemetry/log.js';
import { endProcess } from './adapters/process/end-process.js';
import { readVersion } from './protocol/version.js';
import { StateFolderBroken, StateFolderBusy } from './adapters/owned/state-folder.js';
import { HELP, ArgumentsError, parseArguments } from './wiring/arguments.js';
import { LeftoverError, listFolders, removeFoldersOf } from './wiring/leftover-folders.js';
import { quietRunner } from './wiring/doctor/quiet-runner.js';
import { problemsOf } from './wiring/check-config.js';
import { asHostlerError } from './domain/model/errors.js';
import { OwnFileError } from './domain/model/own-files.js';
import { ListenError } from './server/unix-socket.js';
import { TlsFilesBroken } from './protocol/certificate-files.js';
import { loadConfig } from './wiring/load-config.js';
import { examine } from './wiring/doctor/doctor.js';
import { serve } from './wiring/serve.js';

const DESCRIPTORS = fileURLToPath(new URL('../hostler.binpb', import.meta.url));
/** Errors that an operator can fix, printed without a stack. */
const EXPECTED = [
  ArgumentsError,
  LeftoverError,
  ConfigError,
  ListenError,
  TlsFilesBroken,
  StateFolderBusy,
  StateFolderBroken,
  JournalUnavailable,
  OwnFileError,
];

async function main(): Promise<void> {
  const values = parseArguments();
  // The reader of the output is gone, or the disk is full: nothing can be shown any more. A daemon
  // that serves writes its log elsewhere.
  if (!values.isServing) process.stdout.on('error', () => void endProcess(1));
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  if (values.version === true) {
    process.stdout.write(`hostlerd ${readVersion()}\n`);
    return;
  }
  const config = await loadConfig(values.config);
  if (values['show-config'] === true) process.stdout.write(showConfig(config));
  else if (values['check-config'] === true) await checkConfig(config, values.config);
  else if (values.doctor === true)
    process.exitCode = (await examine(config, values.config, values.json === true)) ? 0 : 1;
  else if (values['list-folders'] === true) await listFolders(config);
  else if (values['remove-folders-of'] !== undefined)
    await removeFoldersOf(config, values['remove-folders-of'], values.force === true);
  else await serve(config, values.config, DESCRIPTORS);
}

/** Fails with ConfigError, which lists every problem. */
async function checkConfig(config: Config, file: string): Promise<void> {
  const problems = await problemsOf(config, quietRunner(config));
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `${file}: ${problem}`).join('\n'));
  process.stdout.write(`${file}: ok\n`);
}

/** Why the daemon did not start; without a stack if an operator can fix it. */
function whyNot(error: unknown): string {
  if (error instanceof Error && EXPECTED.some((kind) => error instanceof kind)) return error.message;
  const { reason, message } = asHostlerError(error);
  if (reason === 'HOST_EXHAUSTED')
    return `${message}; raise the limits of the service (LimitNOFILE, TasksMax), or free some memory`;
  return errorText(error) ?? '';
}

main().catch((error: unknown) => {
  process.stderr.write(`hostlerd: ${whyNot(error)}\n`);
  // Works also if a call into a filesystem hangs, which `process.exit` would wait for.
  endProcess(1);
});
