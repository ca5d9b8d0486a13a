/** The real server in this process, with handlers of the test's own, and what it writes down. */
import { join } from 'node:path';
import { BUILT_IN } from '../../../src/domain/access/role.js';
import { Authority } from '../../../src/domain/access/authority.js';
import { PathScope } from '../../../src/domain/access/path-scope.js';
import type { AuditEntry } from '../../../src/domain/access/audit.js';
import { OtelTracer } from '../../../src/adapters/telemetry/tracing/otel-tracer.js';
import { HostlerServer } from '../../../src/server/server.js';
import { ROOT_FOLDER } from '../daemon.js';
import { Stranger } from '../stranger.js';
import type { CallLog } from '../../../src/server/call.js';

type Line = Parameters<CallLog>[0];

export interface Planted {
  readonly stranger: Stranger;
  readonly log: Line[];
  readonly audit: AuditEntry[];
  close(): Promise<void>;
}

/** @param handlers of any shape: what they answer need not be what their types say */
export async function plantedServer(socket: string, handlers: object, unreadMs = 60_000): Promise<Planted> {
  const [log, audit]: [Line[], AuditEntry[]] = [[], []];
  const limit = 1000;
  const server = new HostlerServer({
    listeners: [
      {
        address: `unix://${socket}`,
        tls: false,
        identity: { name: 'test', roles: [{ ...BUILT_IN.admin, commands: 'all' }] },
        socketOwner: { mode: 0o600 },
      },
    ],
    certificates: undefined,
    authority: () => new Authority([]),
    scope: new PathScope(),
    audit: {
      begin: () => Promise.resolve(),
      end: (entry) => Promise.resolve(void audit.push(entry)),
      close: () => Promise.resolve(),
    },
    limits: {
      streamsPerConnection: limit,
      callsPerCaller: limit,
      partBytesPerCaller: 1 << 25,
      watchesPerCaller: limit,
      incomingStreamsPerCaller: limit,
      firstMessageMs: 60_000,
      unreadMs,
      answerBytes: { inAll: 1 << 25, perCaller: 1 << 24, oneBeyond: true },
      connections: limit,
      connectionsPerCaller: limit,
      halfOpen: limit,
      handshakeMs: 60_000,
      denialsPerSecond: limit,
    },
    descriptorFile: join(ROOT_FOLDER, 'dist/hostler.binpb'),
    handlers: { image: {}, operation: {}, host: {}, file: {}, command: {}, ...handlers },
    tracer: new OtelTracer(),
    log: { call: (line) => void log.push(line), refused: () => undefined, dropped: () => undefined },
  });
  await server.listen();
  const stranger = new Stranger(`unix://${socket}`);
  return {
    stranger,
    log,
    audit,
    close: async () => {
      stranger.close();
      await server.close();
    },
  };
}
