import { isBelow } from '../model/address.js';

/** What a caller may do. Deny by default: what a role does not name, it does not allow. */
export interface Role {
  readonly name: string;
  /** Services (`ImageService`) of which every RPC is allowed. */
  readonly services: readonly string[];
  /** RPCs (`CopyImage`) that are allowed. */
  readonly methods: readonly string[];
  /** Every RPC that only looks is allowed. */
  readonly readOnly: boolean;
  /** Folders, or `rbd:POOL`, below which addresses may be read. */
  readonly read: Places;
  /** The same for what is made, changed or removed; may be read too. */
  readonly write: Places;
  /** Names of configured commands that may be run. */
  readonly commands: readonly string[] | 'all';
  /** Every operation of the role carries these labels, and only operations that do are seen. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of other callers: `own` sees none, `see` sees all, `all` cancels them too. */
  readonly operations: 'own' | 'see' | 'all';
  /** What copies may reach on other hosts. */
  readonly remote: readonly FarPlaces[] | 'all';
  /** The far end of a copy must be the caller itself, and its agent. */
  readonly farEndIsCaller: boolean;
}

/** A far host, or several, and what of it copies may reach. */
export interface FarPlaces {
  /** As requests name it; `*.example.org` is all below, `*` every host. */
  readonly host: string;
  /** Logins that a request may name; without any it gets that of the configuration. */
  readonly users: readonly string[];
  /** Folders there below which a source may lie. */
  readonly read: readonly string[];
  /** The same for a target; may be a source too. */
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

/** The roles that are there without being configured. */
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
  /** A scheduler: everything but commands. */
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
  /** Another host's daemon; where it may read and write is configured for each. */
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

/** A role of the configuration. */
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

/** Whether a host, by the name that a request gives it, is one of these. */
export function isHost(host: string, { host: pattern }: Pick<FarPlaces, 'host'>): boolean {
  const [name, wanted] = [host, pattern].map((text) => text.toLowerCase().replace(/\.$/, ''));
  if (name === undefined || wanted === undefined) return false;
  return wanted === '*' || (wanted.startsWith('*.') ? name.endsWith(wanted.slice(1)) : name === wanted);
}

function isSnapshot(address: string, place: string): boolean {
  return place.startsWith('rbd:') && address.startsWith(`${place}@`);
}
