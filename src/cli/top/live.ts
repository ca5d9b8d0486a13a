import { OperationState, type Operation, type OperationEvent } from '../../gen/hostler/v1/operation.js';
import type {
  ListOperationsRequest,
  ListOperationsResponse,
  WatchOperationsResponse,
} from '../../gen/hostler/v1/operation_service.js';
import type {
  GetFilesystemInfoResponse,
  GetHostInfoResponse,
  RootInfo,
} from '../../gen/hostler/v1/host_info_service.js';
import { ask, type Connection } from '../connection.js';
import { failureOf, isServiceError, statusOf } from '../failure.js';
import { events } from '../follow.js';
import type { TopOperation, TopRoot, Moment } from './picture.js';
import { QueueWaits } from './queue-waits.js';

const UNFINISHED = [
  OperationState.OPERATION_STATE_QUEUED,
  OperationState.OPERATION_STATE_RUNNING,
  OperationState.OPERATION_STATE_CANCELLING,
];
const PAGE = 1000;

/** The unfinished operations and the space of one host, kept up to date. */
export class LiveHost {
  readonly #operations = new Map<string, Omit<TopOperation, 'waitedMs'>>();
  readonly #waits = new QueueWaits();
  readonly #ended = { succeeded: 0, failed: 0, cancelled: 0 };
  #roots: readonly TopRoot[] = [];
  #cursor = '';
  #stop: () => void = () => undefined;

  constructor(private readonly connection: Connection) {}

  /** Reads everything once. Fails with the status of an RPC. */
  async read(): Promise<void> {
    await this.readSpace();
    const { operations } = this.connection;
    for (let pageToken = ''; ;) {
      const request = listRequest(pageToken);
      const page = await ask<ListOperationsResponse>((done) => operations.listOperations(request, done));
      for (const each of page.operations) {
        this.#waits.list(each.operationId, each.createTime, each.startTime);
        this.#take(each.last, each);
      }
      if (pageToken === '') this.#cursor = page.cursor;
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  /** Reads the space of each root again. */
  async readSpace(): Promise<void> {
    const { host } = this.connection;
    const { roots } = await ask<GetHostInfoResponse>((done) => host.getHostInfo({}, done));
    const shown = roots.filter(({ kind, problem }) => kind === 'files' || problem !== '');
    this.#roots = await Promise.all(shown.map((root) => this.#spaceOf(root)));
  }

  /** Follows every change from the last `read` on; ends when the stream does, with its error. */
  async watch(changed: () => void): Promise<void> {
    const stream = this.connection.operations.watchOperations({ filter: undefined, cursor: this.#cursor });
    this.#stop = () => {
      stream.cancel();
    };
    for await (const change of events(stream)) {
      this.#follow(change);
      changed();
    }
  }

  /** Ends the watch: it rejects as cancelled. */
  stop(): void {
    this.#stop();
  }

  /** The current state. */
  moment(time: Date, hint: string): Moment {
    const operations = [...this.#operations.values()].map((each) => ({
      ...each,
      waitedMs: this.#waits.of(each.id, time.getTime()),
    }));
    return { address: this.connection.address, time, operations, ended: { ...this.#ended }, roots: this.#roots, hint };
  }

  #follow(change: WatchOperationsResponse): void {
    const { event } = change;
    if (event === undefined) return;
    const wasKnown = this.#operations.has(event.operationId);
    this.#waits.follow(event);
    this.#take(event, { ...change, operationId: event.operationId });
    if (UNFINISHED.includes(event.state) || !wasKnown) return;
    if (event.state === OperationState.OPERATION_STATE_SUCCEEDED) this.#ended.succeeded += 1;
    else if (event.state === OperationState.OPERATION_STATE_CANCELLED) this.#ended.cancelled += 1;
    else this.#ended.failed += 1;
  }

  #take(
    event: OperationEvent | undefined,
    { operationId: id, method, caller, addresses }: Pick<Operation, 'operationId' | 'method' | 'caller' | 'addresses'>,
  ): void {
    if (event !== undefined && !UNFINISHED.includes(event.state)) {
      this.#operations.delete(id);
      this.#waits.forget(id);
    } else this.#operations.set(id, { id, method, caller, addresses, event });
  }

  async #spaceOf({ path, problem }: RootInfo): Promise<TopRoot> {
    if (problem !== '') return { path, space: undefined, problem };
    try {
      const { filesystem } = await ask<GetFilesystemInfoResponse>((done) =>
        this.connection.host.getFilesystemInfo({ path }, done),
      );
      return { path, space: filesystem, problem: '' };
    } catch (error) {
      if (!isServiceError(error)) throw error;
      const { reason, message } = failureOf(statusOf(error, this.connection.address));
      return { path, space: undefined, problem: reason ?? message };
    }
  }
}

function listRequest(pageToken: string): ListOperationsRequest {
  const filter = {
    states: UNFINISHED,
    methods: [],
    labels: {},
    caller: '',
    keptOnly: false,
    reasons: [],
    requestId: '',
    since: undefined,
    until: undefined,
  };
  return { filter, pageSize: PAGE, pageToken, newestFirst: false };
}
