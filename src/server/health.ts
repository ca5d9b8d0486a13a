/**
 * The health service of gRPC. The package grpc-health-check has one too, whose start takes a tenth
 * of the daemon's: it parses its proto file. Here the file is compiled with the others.
 */
import { status, type Server, type ServiceError } from '@grpc/grpc-js';
import {
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthService,
  type HealthServer,
} from '../gen/health/v1/health.js';

export { ServingStatus };

/** What services say of themselves; '' is the whole server. */
export class Health {
  readonly #statuses = new Map<string, ServingStatus>();
  readonly #watchers = new Map<string, Set<(status: ServingStatus) => void>>();

  /** Tells everybody who watches the service. */
  set(service: string, to: ServingStatus): void {
    this.#statuses.set(service, to);
    for (const tell of this.#watchers.get(service) ?? []) tell(to);
  }

  /** A watch of an unknown service waits until it is known, as the protocol wants it. */
  addTo(server: Server): void {
    const handlers: HealthServer = {
      check: ({ request: { service } }, callback) => {
        const known = this.#statuses.get(service);
        if (known === undefined) callback(unknown(service));
        else callback(null, { status: known });
      },
      list: (_, callback) => {
        const statuses = [...this.#statuses].map(([service, known]) => [service, { status: known }] as const);
        callback(null, { statuses: Object.fromEntries(statuses) });
      },
      watch: (call) => {
        const { service } = call.request;
        const tell = (to: ServingStatus) => void call.write({ status: to });
        const watchers = this.#watchers.get(service) ?? new Set();
        this.#watchers.set(service, watchers.add(tell));
        call.on('cancelled', () => {
          watchers.delete(tell);
          if (watchers.size === 0) this.#watchers.delete(service);
        });
        tell(this.#statuses.get(service) ?? ServingStatus.SERVICE_UNKNOWN);
      },
    };
    server.addService(HealthService, handlers);
  }
}

function unknown(service: string): Partial<ServiceError> {
  return { code: status.NOT_FOUND, details: `Health status unknown for service ${service}` };
}
