/** What a far agent's failure means here. */
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { HostlerError, REASONS, type Reason } from '../domain/errors.js';
import { ErrorInfo } from '../gen/google/rpc/error_details.js';
import { Status } from '../gen/google/rpc/status.js';

const INFO = 'type.googleapis.com/google.rpc.ErrorInfo';
/** gRPC's numbers. */
const [CANCELLED, PERMISSION_DENIED, UNAUTHENTICATED] = [1, 7, 16];
/** What a handshake says that fails because of a certificate: ours, or theirs. */
const CERTIFICATE = /certificate|self.signed|altnames|SSL|TLS|EPROTO|alert/i;
/** These say something of our own right to call. */
const REFUSALS: readonly Reason[] = ['METHOD_NOT_ALLOWED', 'NOT_AUTHENTICATED'];

export function farFailure(host: string, error: unknown): HostlerError {
  if (error instanceof HostlerError) return error;
  if (!isServiceError(error)) return new HostlerError('BUG', `the call to ${host} broke`, { cause: error });
  const code: number = error.code;
  const facts = { host, details: error.details };
  const reason = reasonOf(error.metadata);
  if (reason !== undefined)
    return new HostlerError(REFUSALS.includes(reason) ? 'REMOTE_REFUSED' : reason, `${host}: ${error.details}`, {
      facts,
    });
  if (code === CANCELLED) return new HostlerError('CANCELLED', `${host}: ${error.details}`, { facts });
  if ([UNAUTHENTICATED, PERMISSION_DENIED].includes(code))
    return new HostlerError('REMOTE_REFUSED', `${host}: ${error.details}`, { facts });
  const untrusted = CERTIFICATE.test(error.details);
  return new HostlerError(untrusted ? 'REMOTE_NOT_TRUSTED' : 'REMOTE_UNREACHABLE', `${host}: ${error.details}`, {
    facts,
  });
}

function reasonOf(metadata: Metadata): Reason | undefined {
  const [packed] = metadata.get('grpc-status-details-bin');
  if (!(packed instanceof Buffer)) return undefined;
  const info = Status.decode(packed).details.find(({ typeUrl }) => typeUrl === INFO);
  if (info === undefined) return undefined;
  const { reason } = ErrorInfo.decode(info.value);
  return isReason(reason) ? reason : undefined;
}

function isReason(text: string): text is Reason {
  return text in REASONS;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'metadata' in error && error.metadata instanceof Metadata;
}
