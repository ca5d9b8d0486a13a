/** The thread that carries rights over on filesystems that may stop answering. */
import { parentPort, workerData } from 'node:worker_threads';
import * as z from 'zod';
import { carryRights } from './carry.js';

const { from, to } = z.object({ from: z.string(), to: z.string() }).parse(workerData);
parentPort?.postMessage(carryRights(from, to));
