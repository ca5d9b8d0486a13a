import { once } from 'node:events';
import { HostlerError } from '../../domain/model/errors.js';
import type { Step } from '../../domain/operations/engine-ports.js';
import { ERRORS } from '../config/failpoint.js';

/** The signal that resumes all paused steps. */
const RELEASE = 'SIGUSR2';

interface Failpoint {
  readonly method: string;
  readonly step: string;
  readonly action: string;
}

/** Makes steps of operations fail, pause, or kill the daemon, for tests of the consequences. */
export class Failpoints {
  readonly #points: readonly Failpoint[];

  /** @param onPause called when a step pauses */
  constructor(
    texts: readonly string[],
    private readonly onPause: (method: string, step: string) => void = () => undefined,
  ) {
    this.#points = texts.map((text) => {
      const [method = '', step = '', action = ''] = text.split(':');
      return { method, step, action };
    });
  }

  readonly step: Step = async (operationId, method, step) => {
    const point = this.#points.find((each) => (each.method === method || each.method === '*') && each.step === step);
    if (point === undefined) return;
    if (point.action === 'kill') process.kill(process.pid, 'SIGKILL');
    if (point.action === 'kill') await new Promise(() => undefined);
    if (point.action === 'pause') {
      const toResume = once(process, RELEASE);
      this.onPause(method, step);
      await toResume;
      return;
    }
    if (point.action === 'throw') {
      // Thrown outside of any catch; the step continues.
      setImmediate(() => {
        throw new Error(`failpoint at ${step} of ${operationId}`);
      });
      return;
    }
    const reason = ERRORS.find((each) => each === point.action) ?? 'IO_ERROR';
    throw new HostlerError(reason, `failpoint at ${step} of ${operationId}`);
  };
}
