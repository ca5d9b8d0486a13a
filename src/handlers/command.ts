import * as z from 'zod';
import { HostlerError, asHostlerError } from '../domain/model/errors.js';
import { assertAllowed, executeCommand, type ExecutePorts, type ExecuteSpec } from '../domain/verbs/execute-command.js';
import { BoundedQueue } from '../domain/model/bounded-queue.js';
import type { Operations } from '../domain/operations/engine.js';
import { type CommandServiceService, ExecuteResponse } from '../gen/hostler/v1/command_service.js';
import { defined, durationMs, parseRequest, requestId } from './fields.js';
import type { Handlers } from './handler.js';
import { attachedAsk, resultOf, type Parsed } from './running.js';
import type { OutputPiece } from '../domain/ports/commands.js';

const MAX_ARGS = 256;
const MAX_ARG = 4096;
const MAX_ATTEMPTS = 100;
const MAX_DELAY_MS = 3600 * 1000;
const MAX_TIMEOUT_MS = 24 * 3600 * 1000;
/** Chunks that may wait for a slow reader before the command has to wait. */
const PIECES_WAITING = 4;

const execute = z.object({
  name: z.string().min(1, 'required'),
  args: z
    .array(
      z
        .string()
        .max(MAX_ARG, `longer than ${String(MAX_ARG)} characters`)
        .refine((arg) => !arg.includes('\0'), 'must not contain NUL'),
    )
    .max(MAX_ARGS, `more than ${String(MAX_ARGS)} arguments`),
  stdin: z.instanceof(Uint8Array),
  timeout: durationMs(1, MAX_TIMEOUT_MS).optional(),
  attempts: z
    .int()
    .min(1, 'must be at least 1')
    .max(MAX_ATTEMPTS, `must be at most ${String(MAX_ATTEMPTS)}`)
    .optional(),
  delay: durationMs(0, MAX_DELAY_MS).optional(),
  requestId,
});

function parseExecute(request: unknown): Parsed<ExecuteSpec> {
  const { name, args, stdin, timeout, attempts = 1, delay = 0, requestId: id } = parseRequest(execute, request);
  const spec = { name, args, attempts, delayMs: delay, ...defined({ timeoutMs: timeout }) };
  return { spec, ask: { ...attachedAsk(id), secrets: { stdin } } };
}

/** CommandService: parse, one domain call, map. */
export function commandHandlers(operations: Operations, ports: ExecutePorts): Handlers<typeof CommandServiceService> {
  const verb = executeCommand(ports);
  return {
    async *execute(request, caller) {
      const { spec, ask } = parseExecute(request);
      await assertAllowed(spec, ports.rules, caller);
      const output = new BoundedQueue<OutputPiece>(PIECES_WAITING);
      const started = operations.start(
        verb,
        spec,
        { ...ask, output: (piece, signal) => output.put(piece, signal) },
        caller,
      );
      const outcome = resultOf('execute', started).then(
        ({ exitCode }) => ({ exitCode, error: undefined }),
        (error: unknown) => ({ ...exitCodeOf(error), error }),
      );
      void outcome.then(() => {
        output.end(undefined);
      });
      for await (const { stream, data } of output.items(caller.signal))
        yield ExecuteResponse.fromPartial({ output: { $case: stream, value: Buffer.from(data) } });
      const { exitCode, error } = await outcome;
      if (exitCode !== undefined) yield { output: { $case: 'exitCode', value: exitCode } };
      if (error !== undefined) throw asHostlerError(error);
    },
  };
}

/** The exit code of a command that ran but was not accepted. */
function exitCodeOf(error: unknown): { readonly exitCode: number | undefined } {
  const code = error instanceof HostlerError && error.reason === 'TOOL_FAILED' ? error.facts['exit_code'] : undefined;
  return { exitCode: code === undefined ? undefined : Number(code) };
}
