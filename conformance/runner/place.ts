/** The one folder in which a run works, and what shows that nothing of it is left. */
import { OperationState, type Operation } from '../../src/gen/hostler/v1/operation.js';
import type { Agent } from '../agent/agent.js';
import { createDirectory, listDirectory, removeDirectory } from '../agent/file-rpcs.js';
import { cancelOperation, listOperations } from '../agent/operation-rpcs.js';

const UNFINISHED = [
  OperationState.OPERATION_STATE_QUEUED,
  OperationState.OPERATION_STATE_RUNNING,
  OperationState.OPERATION_STATE_CANCELLING,
];

/** `FOLDER/NAME` and everything in it. */
const within = (folder: string) => (path: string) => path === folder || path.startsWith(`${folder}/`);

export async function makeFolder(agent: Agent, path: string): Promise<void> {
  await agent.operate(createDirectory, { path });
}

/** Ends what works in the folder, and removes it. A folder that is not there is a success. */
export async function removeFolder(agent: Agent, path: string): Promise<void> {
  for (const { operationId } of await unfinished(agent, path)) await agent.ask(cancelOperation, { operationId });
  await agent.operate(removeDirectory, { path, recursive: true, missingOk: true });
}

/** What is left of a run: names beside the folder's parent, and operations. Empty: nothing. */
export async function leftOf(agent: Agent, root: string, folder: string): Promise<string[]> {
  const left: string[] = [];
  for (let pageToken = ''; ;) {
    const page = await agent.ask(listDirectory, { path: root, pageToken });
    left.push(...page.entries.map(({ name }) => `${root}/${name}`).filter(within(folder)));
    pageToken = page.nextPageToken;
    if (pageToken === '') break;
  }
  const operations = await unfinished(agent, folder);
  return [...left, ...operations.map(({ method, operationId }) => `${method} ${operationId}`)];
}

async function unfinished(agent: Agent, folder: string): Promise<Operation[]> {
  const { operations } = await agent.ask(listOperations, { filter: { states: UNFINISHED }, pageSize: 1000 });
  return operations.filter(({ addresses }) => addresses.some(within(folder)));
}
