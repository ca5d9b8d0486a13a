/** What cases need that is not everywhere. */
import type { Need } from './case.js';

/** The filesystem of the root shares extents between files. */
export const reflink: Need = {
  name: 'a filesystem with reflink',
  missing: ({ root }) => (root.reflink ? undefined : `no reflink on ${root.filesystemType}`),
};

/** The opposite: a refusal that only other filesystems give. */
export const noReflink: Need = {
  name: 'a filesystem without reflink',
  missing: ({ root }) => (root.reflink ? `${root.filesystemType} has reflink` : undefined),
};

export const sparse: Need = {
  name: 'a filesystem with holes',
  missing: ({ root }) => (root.sparse ? undefined : `no holes on ${root.filesystemType}`),
};

export const trusted: Need = {
  name: 'a trusted root',
  missing: ({ root }) => (root.trusted ? undefined : 'the root is not trusted'),
};

export const sandbox: Need = {
  name: 'a sandbox',
  missing: ({ host }) => (host.sandbox === 'none' ? 'the agent has no sandbox' : undefined),
};

/** The agent can make images of that format. */
export const creates = (format: string): Need => ({
  name: `an agent that makes ${format}`,
  missing: ({ host }) => (host.creatableFormats.includes(format) ? undefined : `the agent makes no ${format}`),
});

/** The agent serves a part that not every agent serves: `features` of GetHostInfo. */
export const serves = (feature: string): Need => ({
  name: `an agent that serves ${feature}`,
  missing: ({ host }) => (host.features.includes(feature) ? undefined : `the agent does not serve ${feature}`),
});

/** The second caller may look, and change nothing. */
export const secondCaller: Need = {
  name: 'a second caller (--second-address, --second-tls-cert)',
  missing: ({ second }) => (second === undefined ? 'no second caller was given' : undefined),
};

export const tls: Need = {
  name: 'mutual TLS',
  missing: ({ access }) => (access.tls === undefined ? 'the address has no TLS' : undefined),
};

export const restartable: Need = {
  name: '--restart-command',
  missing: ({ restartCommand }) => (restartCommand === undefined ? 'no --restart-command was given' : undefined),
};
