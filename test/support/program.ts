/** The daemon's program for another user. */
import { join, relative } from 'node:path';
import { ROOT_FOLDER } from './daemon.js';
import { sh } from './shell.js';

const OWN = ['bin', 'dist/bundle', 'dist/hostler.binpb', 'package.json', 'node_modules/.bin/node'];

/**
 * A copy that every user may read, with the packages that it needs: a checkout may lie where only
 * its owner gets in.
 */
export async function copiedProgram(to: string): Promise<string> {
  const listed = await sh('npm', '--prefix', ROOT_FOLDER, 'ls', '--omit=dev', '--all', '--parseable');
  const packages = listed.split('\n').slice(1, -1);
  const names = [...OWN, ...packages.map((each) => relative(ROOT_FOLDER, each))];
  await sh(
    'sh',
    '-c',
    'mkdir "$1" && cd "$0" && to=$1 && shift && cp -r --parents -- "$@" "$to"',
    ROOT_FOLDER,
    to,
    ...names,
  );
  await sh('chmod', '-R', 'a+rX', to);
  return join(to, 'bin/hostlerd');
}
