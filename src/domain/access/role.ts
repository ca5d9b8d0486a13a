import { isBelow } from '../model/address.js';

/** The rights of a caller. Deny by default: a role allows only what it names. */
export interface Role {
  readonly name: string;
  /** Services (`ImageService`) whose RPCs are all allowed. */
  readonly services: readonly string[];
  /** RPCs (`CopyImage`) that are allowed. */
  readonly methods: readonly string[];
  /** Every RPC that only reads is allowed. */
  readonly readOnly: boolean;
  /** Folders, or `rbd:POOL`, below which addresses may be read. */
  readonly read: Places;
  /**
   * Folders, or `rbd:POOL`, below which addresses may be created, changed or removed; they may also
   * be read.
   */
  readonly write: Places;
  /** Names of configured commands that may be run. */
  readonly commands: readonly string[] | 'all';
  /** Every operation of the role gets these labels, and only operations with them are visible. */
  readonly labels: Readonly<Record<string, string>>;
  /** Operations of other callers: `own` sees none, `see` sees all, `all` can also cancel them. */
  readonly operations: 'own' | 'see' | 'all';
  /** Places on other hosts that copies may use. */
  readonly remote: readonly FarPlaces[] | 'all';
  /** The other host of a copy must be the caller itself, through its agent. */
  readonly farEndIsCaller: boolean;
}

/** A remote host, or several, and the places on it that copies may use. */
export interface FarPlaces {
  /** The host as requests name it; `*.example.org` matches all hosts below, `*` every host. */
  readonly host: string;
  /** Logins that a request may name; without one it gets the login in the configuration. */
  readonly users: readonly string[];
  /** Folders there that may contain a source. */
  readonly read: readonly string[];
  /** Folders there that may contain a target; they may contain a source too. */
  readonly write: readonly string[];
}

/** `all`: everywhere in the daemon's roots. */
export type Places = readonly string[] | 'all';

const nothing: Omit<Role, 'name'> = {
  services: [],
  methods: [],
  readOnly: false,
  read: [],
  write: [],
  commands: [],
  labels: {},
  operations: 'own',
  remote: [],
  farEndIsCaller: false,
};

const EVERY_SERVICE = ['ImageService', 'HostInfoService', 'FileService', 'OperationService'];

/** The roles that exist without configuration. */
export const BUILT_IN: Readonly<Record<'admin' | 'operator' | 'viewer' | 'agent', Role>> = {
  admin: {
    ...nothing,
    name: 'admin',
    services: [...EVERY_SERVICE, 'CommandService'],
    read: 'all',
    write: 'all',
    commands: 'all',
    operations: 'all',
    remote: 'all',
  },
  /** For a scheduler: everything except commands. */
  operator: {
    ...nothing,
    name: 'operator',
    services: EVERY_SERVICE,
    read: 'all',
    write: 'all',
    operations: 'all',
    remote: 'all',
  },
  viewer: { ...nothing, name: 'viewer', readOnly: true, read: 'all', operations: 'see' },
  /** For another host's daemon; the places that it may read and write are configured for each. */
  agent: {
    ...nothing,
    name: 'agent',
    methods: [
      'OpenExport',
      'CloseExport',
      'CopyImage',
      'DigestImage',
      'MapImage',
      'GetOperation',
      'WatchOperation',
      'CancelOperation',
    ],
    remote: 'all',
    farEndIsCaller: true,
  },
};

/** A role from the configuration. */
export function roleOf(name: string, given: Partial<Omit<Role, 'name' | 'farEndIsCaller'>>): Role {
  return { ...nothing, ...given, name };
}

/**
 * Whether an address lies in one of the places. The address has no `.`, `..` or `//`, or is a real
 * path.
 */
export function liesIn(address: string, places: Places): boolean {
  return places === 'all' || places.some((place) => isBelow(address, place) || isSnapshot(address, place));
}

/** Whether a host, by its name in the request, matches the pattern. */
export function isHost(host: string, { host: pattern }: Pick<FarPlaces, 'host'>): boolean {
  const [name, wanted] = [host, pattern].map((text) => text.toLowerCase().replace(/\.$/, ''));
  if (name === undefined || wanted === undefined) return false;
  return wanted === '*' || (wanted.startsWith('*.') ? name.endsWith(wanted.slice(1)) : name === wanted);
}

function isSnapshot(address: string, place: string): boolean {
  return place.startsWith('rbd:') && address.startsWith(`${place}@`);
}
