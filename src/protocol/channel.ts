/** How a client of ours, the command or another agent, proves who it is. */
import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { createSecureContext } from 'node:tls';
import { readTlsFiles, type TlsPaths } from './certificate-files.js';

/**
 * Credentials for a channel to a daemon that speaks mutual TLS 1.3. The files are read now: make
 * them anew for a new channel, and a renewed certificate is taken up. The daemon's certificate must
 * be of the authority and name the host that is dialled. Fails with TlsFilesBroken.
 */
export async function channelCredentials(paths: TlsPaths): Promise<ChannelCredentials> {
  const files = await readTlsFiles(paths);
  return credentials.createFromSecureContext(createSecureContext({ ...files, minVersion: 'TLSv1.3' }));
}
