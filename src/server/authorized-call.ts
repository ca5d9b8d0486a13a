import type { Identity } from '../domain/access/authority.js';
import { decide } from '../domain/access/decide.js';
import type { Role } from '../domain/access/role.js';
import { AuditTexts, auditText, type AuditEntry } from '../domain/access/audit.js';
import { accessRequestOf, requestIdOf, type Rpc } from '../handlers/access-request.js';
import { readOnBehalfOf } from '../protocol/on-behalf-of.js';
import { OutOfBoundsRequest } from './bounds/bounded-server.js';
import type { AdmittedCall, Call, CallContext } from './call.js';

/** The facts of a call, as they become known. */
export class AuthorizedCall {
  readonly #peer: string;
  #identity: Identity | undefined;
  #onBehalfOf: string | undefined;
  #requestId: string | undefined;
  readonly #paths = new AuditTexts();
  readonly #operations = new AuditTexts();
  readonly #denied = new AuditTexts();

  constructor(
    private readonly rpc: Rpc,
    private readonly call: Call,
    private readonly context: CallContext,
  ) {
    this.#peer = context.address.startsWith('unix:') ? context.address : call.getPeer();
  }

  /** For the audit log, as far as known. */
  get entry() {
    return {
      caller: this.#identity?.name ?? '',
      ...(this.#onBehalfOf === undefined ? {} : { onBehalfOf: this.#onBehalfOf }),
      peer: this.#peer,
      rpc: this.rpc.name,
      paths: this.#paths.all,
      ...(this.#requestId === undefined ? {} : { requestId: auditText(this.#requestId) }),
      ...(this.#denied.all.length === 0 ? {} : { deniedPaths: this.#denied.all }),
      ...(this.#operations.all.length === 0 ? {} : { operationIds: this.#operations.all }),
    } satisfies Omit<AuditEntry, 'event'>;
  }

  /** Fails with NOT_AUTHENTICATED, METHOD_NOT_ALLOWED, PATH_OUTSIDE_ROOTS, ROOT_READ_ONLY. */
  admit(signal: AbortSignal): Omit<AdmittedCall, 'leave' | 'room'> {
    const identity = this.context.whoIs(this.#peer);
    this.#identity = identity;
    const check = (request: unknown) => this.#check(identity, request);
    const deadline = this.call.getDeadline();
    const caller = {
      identity: identity.name,
      roles: identity.roles.map(({ name }) => name),
      grant: check(this.call.request),
      peer: this.#peer,
      signal,
      deadline: deadline instanceof Date ? deadline : undefined,
      onOperation: (id: string) => {
        this.#operations.add(id);
      },
      onDenied: (address: string) => {
        this.#denied.add(address);
      },
    };
    // Only another agent calls on behalf of a caller.
    if (caller.grant.farEndIsCaller) this.#onBehalfOf = readOnBehalfOf(this.call.metadata);
    return { caller, check };
  }

  #check(identity: Identity, request: unknown): Role {
    const whole = request instanceof OutOfBoundsRequest ? undefined : request;
    const attempt = accessRequestOf(this.rpc, whole);
    for (const { address } of attempt.places) this.#paths.add(address);
    this.#requestId ??= requestIdOf(whole);
    const decision = decide(identity, attempt);
    if ('refused' in decision) throw decision.refused;
    if (request instanceof OutOfBoundsRequest) throw request.error;
    return decision.role;
  }
}
