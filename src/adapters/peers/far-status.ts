/** Translates a peer's failure. */
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { HostlerError } from '../../domain/model/errors.js';
import { isReasonWord, namedError } from '../../domain/model/reasons/named-elsewhere.js';
import { ErrorInfo } from '../../gen/google/rpc/error_details.js';
import { Status } from '../../gen/google/rpc/status.js';
import type { Reason } from '../../domain/model/reasons/reasons.js';

const INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
/** gRPC's status codes. */
const [CANCELLED, PERMISSION_DENIED, UNAUTHENTICATED] = [1, 7, 16];
/** Messages of a handshake that failed because of a certificate, on either side. */
const CERTIFICATE = /certificate|self.signed|altnames|SSL|TLS|EPROTO|alert/i;
/** These reasons are about this agent's own right to call. */
const REFUSALS: readonly Reason[] = ['METHOD_NOT_ALLOWED', 'NOT_AUTHENTICATED'];

/** Never throws, whatever the peer sent: it runs where no caller could catch an error. */
export function farFailure(host: string, error: unknown): HostlerError {
  if (error instanceof HostlerError) return error;
  if (!isServiceError(error)) return new HostlerError('BUG', `the call to ${host} broke`, { cause: error });
  const code: number = error.code;
  const facts = { host, details: error.details };
  const named = reasonOf(error.metadata);
  if (named !== undefined) {
    const reason = REFUSALS.some((refusal) => refusal === named) ? 'REMOTE_REFUSED' : named;
    return namedError({ reason, code: status[code] }, `${host}: ${error.details}`, { facts });
  }
  if (code === CANCELLED) return new HostlerError('CANCELLED', `${host}: ${error.details}`, { facts });
  if ([UNAUTHENTICATED, PERMISSION_DENIED].includes(code))
    return new HostlerError('REMOTE_REFUSED', `${host}: ${error.details}`, { facts });
  const untrusted = CERTIFICATE.test(error.details);
  return new HostlerError(untrusted ? 'REMOTE_NOT_TRUSTED' : 'REMOTE_UNREACHABLE', `${host}: ${error.details}`, {
    facts,
  });
}

/** The reason in the peer's answer; undefined if there is none that can be read. */
function reasonOf(metadata: Metadata): string | undefined {
  try {
    const [packed] = metadata.get('grpc-status-details-bin');
    if (!(packed instanceof Buffer)) return undefined;
    const info = Status.decode(packed).details.find(({ typeUrl }) => typeUrl === INFO);
    const { reason } = info === undefined ? { reason: '' } : ErrorInfo.decode(info.value);
    return isReasonWord(reason) ? reason : undefined;
  } catch {
    return undefined; // the bytes are not a Status: only the code remains
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'metadata' in error && error.metadata instanceof Metadata;
}
