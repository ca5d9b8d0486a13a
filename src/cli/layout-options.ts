/** The layout of an image: options of every command that creates one. */
import { Option, type Command } from 'commander';
import { byteCount, wholeNumber } from './options.js';

export interface LayoutFlags extends Qcow2Flags {
  readonly subformat?: string;
}

export interface Qcow2Flags {
  readonly compat?: string;
  readonly refcountBits?: number;
  readonly clusterSize?: bigint;
  readonly lazyRefcounts?: true;
  readonly extendedL2?: true;
}

/** Adds the options of every format's layout, those of qcow2 included. */
export function layoutOptions(command: Command): Command {
  return qcow2Options(command).option(
    '--subformat <name>',
    'vpc, vhdx: dynamic or fixed; vmdk: monolithicSparse or streamOptimized',
  );
}

/** For an image that is always qcow2. */
export function qcow2Options(command: Command): Command {
  return command
    .addOption(new Option('--compat <version>', 'of qcow2').choices(['0.10', '1.1']))
    .option('--refcount-bits <bits>', 'of qcow2: width of a reference count', wholeNumber)
    .addOption(new Option('--cluster-size <bytes>', 'allocation unit, such as 64K').argParser(byteCount))
    .option('--lazy-refcounts', 'of qcow2: reference counts are written when it is closed')
    .option('--extended-l2', 'of qcow2: clusters of 32 parts');
}

/** The fields of a request. */
export function layoutOf({ subformat, ...flags }: LayoutFlags) {
  return { subformat, ...qcow2LayoutOf(flags) };
}

/** The options of qcow2 as the request's fields; missing ones stay undefined. */
export function qcow2LayoutOf({ compat, refcountBits, clusterSize, lazyRefcounts, extendedL2 }: Qcow2Flags) {
  return { compat, refcountBits, clusterSizeBytes: clusterSize, lazyRefcounts, extendedL2 };
}
