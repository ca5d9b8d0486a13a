/** A thread that matches arguments against slow patterns; `argument-patterns.ts` starts it. */
import { parentPort, workerData } from 'node:worker_threads';
import * as z from 'zod';
import { compile, firstMisfit } from './pattern.js';

export interface PatternsAnswer {
  readonly misfit: number | undefined;
}

const { patterns, args } = z.object({ patterns: z.array(z.string()), args: z.array(z.string()) }).parse(workerData);
void Promise.all(patterns.map(compile)).then((compiled) => {
  const answer: PatternsAnswer = { misfit: firstMisfit(compiled, args) };
  parentPort?.postMessage(answer);
});
