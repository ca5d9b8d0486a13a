/** How a client, the command or another agent, proves its identity. */
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { createSecureContext } from 'node:tls';
import { readTlsFiles, type TlsPaths } from './certificate-files.js';

/**
 * Credentials for a channel to a daemon with mutual TLS 1.3. The files are read now: create new
 * credentials for a new channel, so that a renewed certificate is used. The daemon's certificate
 * must be from the CA and contain the host name of the connection. Fails with TlsFilesBroken.
 */
export async function channelCredentials(paths: TlsPaths): Promise<ChannelCredentials> {
  const files = await readTlsFiles(paths);
  return credentials.createFromSecureContext(createSecureContext({ ...files, minVersion: 'TLSv1.3' }));
}
