/** Reasons that the command itself detects, with advice. */
import { status } from '@grpc/grpc-js';
import { CONNECTION_REASONS, type ConnectionReason } from '../protocol/connection-failure.js';

/** The domain of these reasons in the details of an error; those of a daemon have `hostler`. */
export const OWN_DOMAIN = 'hostler-client';

const OTHERS = { USAGE: 'INVALID_ARGUMENT', LOCAL_FILE: 'UNKNOWN', BUG: 'INTERNAL' } as const;
export const OWN_REASONS = { ...OTHERS, ...CONNECTION_REASONS };
export type OwnReason = keyof typeof OWN_REASONS;

const OTHER_ADDRESS = 'Start hostlerd, or name another address with --address or HOSTLER_ADDRESS.';
const ADVICE: Readonly<Record<ConnectionReason, string>> = {
  NO_ANSWER: OTHER_ADDRESS,
  HOST_UNKNOWN: 'Check the name in --address.',
  HOST_UNREACHABLE: 'Check the network between the two hosts.',
  HUNG_UP: 'If the address has TLS, give --tls-ca, --tls-cert and --tls-key; if not, look into the log of hostlerd.',
  CONNECTION_LOST: 'See whether the daemon runs. The operation may have begun: `hostler ops ls` shows it.',
  SOCKET_NOT_ALLOWED: 'Run the command as a user or group that owns the socket.',
  SERVER_NAME_DIFFERS: 'Use a name of the certificate in --address, or give the daemon a certificate for this one.',
  SERVER_CERTIFICATE_EXPIRED: 'Give the daemon a new certificate.',
  SERVER_CERTIFICATE_NOT_YET_VALID: 'Compare the clocks of the two hosts.',
  SERVER_AUTHORITY_UNKNOWN: 'Name the authority of the daemon with --tls-ca.',
  CLIENT_CERTIFICATE_REFUSED: 'Use a certificate of the authority that the daemon knows.',
  NO_TLS_THERE: 'Leave out the --tls options, or name the address that has TLS.',
  NO_GRPC_THERE: OTHER_ADDRESS,
  RPC_UNKNOWN: 'Use a command and a daemon of the same version; `hostler host info` shows that of the daemon.',
};

/** Whether the command itself detected it. */
export function isOwnReason(reason: string | undefined): reason is OwnReason {
  return reason !== undefined && Object.hasOwn(OWN_REASONS, reason);
}

/** Has no advice for a daemon's reasons: those are in the table of reasons. */
export function adviceOf(reason: OwnReason): string | undefined {
  return new Map<string, string>(Object.entries(ADVICE)).get(reason);
}

/** The gRPC code for the reason. */
export function codeOf(reason: OwnReason): status {
  return status[OWN_REASONS[reason]];
}
