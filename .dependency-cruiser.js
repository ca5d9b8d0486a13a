/**
 * Which folder may import which, types included: `server -> handlers -> domain <- adapters`. Inside
 * the domain and the adapters, each folder may import only those before it in the list. Why so:
 * docs/architecture.md.
 */
const DOMAIN = [
  'model',
  'ports',
  'formats',
  'budgets',
  'images',
  'access',
  'operations',
  'verbs',
  'files',
  'inventory',
  'folders',
  'host',
  'copy',
  'transfer',
  'fetch',
  'cache',
];
const ADAPTERS = [
  'config',
  'linux',
  'gates',
  'process',
  'telemetry',
  'trees',
  'paths',
  'index',
  'owned',
  'rights',
  'files',
  'folders',
  'archives',
  'qemu',
  'inventory',
  'ssh',
  'devices',
  'rbd',
  'http',
  'journal',
  'host',
  'peers',
];
/** What each part may import in addition to itself. `wiring` and main.ts may import everything. */
const PARTS = {
  protocol: ['domain', 'file-io', 'gen'],
  domain: [],
  adapters: ['domain', 'file-io', 'protocol', 'gen'],
  handlers: ['domain', 'gen', 'protocol'],
  server: ['handlers', 'domain', 'gen', 'protocol', 'file-io'],
  cli: ['domain', 'gen', 'protocol', 'file-io', 'wiring'],
  'file-io': ['domain'],
};

const folder = (path) => `^src/${path}/`;
const parts = Object.entries(PARTS).map(([part, may]) => ({
  name: `${part}-imports`,
  comment: `src/${part} imports ${may.length === 0 ? 'nothing else of src' : may.join(', ')}`,
  severity: 'error',
  from: { path: folder(part) },
  to: { path: '^src/', pathNot: [part, ...may].map(folder) },
}));
const within = (part, order) =>
  order.map((name, place) => ({
    name: `${part}-${name}-is-below`,
    comment: `src/${part}/${name} imports no folder of src/${part} that stands after it`,
    severity: 'error',
    from: { path: folder(`${part}/${name}`) },
    to: { path: folder(part), pathNot: order.slice(0, place + 1).map((each) => folder(`${part}/${each}`)) },
  }));

export default {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    ...parts,
    ...within('domain', DOMAIN),
    ...within('adapters', ADAPTERS),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    includeOnly: '^src/',
    exclude: { path: '^src/gen/' },
  },
};
