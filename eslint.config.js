import eslint from '@eslint/js';
import stylistic from '@stylistic/eslint-plugin';
import jsdoc from 'eslint-plugin-jsdoc';
import regexp from 'eslint-plugin-regexp';
import tseslint from 'typescript-eslint';
import { droppedErrors } from './scripts/lint/dropped-errors.js';

/**
 * Modules of Node and of gRPC that a part may not import. .dependency-cruiser.js says which folder
 * may import which.
 */
const forbid = (...group) => ({
  'no-restricted-imports': ['error', { patterns: [{ group, message: 'see docs/architecture.md' }] }],
});
const PROCESSES = ['node:child_process', 'child_process'];
const DISK = ['node:fs', 'node:fs/promises', 'fs', 'fs/promises'];
const WIRE = ['@grpc/*', '**/gen/**'];

export default tseslint.config(
  // clients/typescript has dependencies of its own; its test.sh runs eslint there.
  { ignores: ['dist', 'coverage', 'src/gen', 'clients/typescript'] },
  eslint.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {
          allowDefaultProject: ['eslint.config.js', '.dependency-cruiser.js', 'scripts/package/sbom.mjs'],
        },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      eqeqeq: 'error',
      'max-lines': ['error', { max: 400 }],
      'max-lines-per-function': ['error', { max: 60 }],
      'no-console': 'error',
    },
  },
  // Exports have a comment with their contract. Comments end at column 100; prettier formats code.
  {
    files: ['src/**'],
    plugins: { jsdoc, '@stylistic': stylistic },
    rules: {
      'jsdoc/require-jsdoc': [
        'error',
        {
          publicOnly: { esm: true, ancestorsOnly: true },
          enableFixer: false,
          require: { FunctionDeclaration: true, ClassDeclaration: true },
          contexts: ['VariableDeclarator > ArrowFunctionExpression'],
        },
      ],
      '@stylistic/max-len': ['error', { code: 1000, comments: 100, ignoreUrls: true, ignorePattern: 'eslint-disable' }],
    },
  },
  // Tests drop errors of streams that they cancel themselves.
  {
    files: ['src/**', 'bench/**', 'scripts/**', 'conformance/**'],
    plugins: { hostler: { rules: { 'dropped-errors': droppedErrors } } },
    rules: { 'hostler/dropped-errors': 'error' },
  },
  { files: ['src/**'], rules: forbid(...PROCESSES) },
  // Each start reads and compiles the bundle, so import only the used parts of a library, not all of
  // its 50 languages.
  {
    files: ['src/**'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: "ImportDeclaration[source.value='zod'] > ImportSpecifier", message: "import * as z from 'zod'" },
        {
          selector: "NewExpression[callee.name='HostlerError'][arguments.0.value='UNSUPPORTED_BY_BACKEND']",
          message: 'unsupported() of src/domain/model/errors.ts makes it',
        },
      ],
    },
  },
  // Patterns match data of callers, guests and peers: one that backtracks would hold the main
  // thread.
  {
    files: ['src/**'],
    plugins: { regexp },
    rules: {
      'regexp/no-super-linear-backtracking': ['error', { report: 'potential' }],
      'regexp/no-super-linear-move': ['error', { report: 'potential', ignorePartial: true }],
    },
  },
  {
    files: ['src/domain/**'],
    rules: forbid(...PROCESSES, ...DISK, ...WIRE),
  },
  { files: ['src/adapters/**'], rules: forbid(...PROCESSES, ...WIRE) },
  // The only module that starts children, and its parts.
  {
    files: ['src/adapters/process/start/node-start.ts'],
    rules: forbid(...WIRE),
  },
  { files: ['src/handlers/**'], rules: forbid(...PROCESSES, ...DISK) },
  { files: ['src/server/**'], rules: forbid(...PROCESSES) },
  // The client for other agents needs gRPC.
  {
    files: ['src/adapters/peers/**'],
    rules: forbid(...PROCESSES, ...DISK),
  },
  { files: ['src/cli/**'], rules: forbid(...PROCESSES) },
  {
    files: ['src/file-io/**'],
    rules: forbid(...PROCESSES, ...WIRE),
  },
  {
    files: ['src/protocol/**'],
    rules: forbid(...PROCESSES),
  },
  // A caller like any other: it knows the contract, and nothing of how the daemon is made.
  {
    files: ['conformance/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '/(src/(?!gen/)|test/|scripts/)|^(\\.\\./){2}bench/',
              message: 'the suite knows only the contract: src/gen',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**', 'bench/**', 'conformance/**'],
    rules: {
      // describe() holds a whole suite.
      'max-lines-per-function': 'off',
      // Answers that the loader of another library reads have no types.
      '@typescript-eslint/consistent-type-assertions': 'off',
    },
  },
  { files: ['**/*.js'], extends: [tseslint.configs.disableTypeChecked] },
  // mocha loads its reporter with require.
  { files: ['**/*.cts'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
);
