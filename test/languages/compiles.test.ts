/**
 * The contract as a stranger gets it, unpacked in an empty folder: it compiles with Debian's protoc,
 * with buf, and with the generators of each language, and what they generate compiles.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT_FOLDER } from '../support/daemon.js';
import { installed, needs } from '../support/needs.js';
import { scratchFolder } from '../support/scratch.js';
import { sh, tryRun } from '../support/shell.js';

const GO_TOOLS = join(ROOT_FOLDER, '.cache/go/bin');
const PYTHON_LIBRARY = '/usr/lib/python3/dist-packages/google/protobuf';
const JAVA_LIBRARY = '/usr/share/java/protobuf.jar';
const CPP_HEADERS = '/usr/include/google/protobuf/message.h';
const BUF = join(ROOT_FOLDER, 'node_modules/.bin/buf');
/** With what protoc brings itself. */
const PROTOC_OUTPUTS = ['cpp', 'java', 'python', 'pyi', 'csharp', 'kotlin', 'objc', 'php', 'ruby'];

describe('the contract out of its archive', function () {
  this.timeout(600_000);
  const scratch = scratchFolder();
  let folder: string;
  let protos: string[];
  before(async () => {
    const archive = (await sh(join(ROOT_FOLDER, 'scripts/contract.sh'))).trim();
    await sh('tar', '-xzf', join(ROOT_FOLDER, archive), '-C', scratch.path());
    folder = scratch.path((await readdir(scratch.path()))[0] ?? '');
    const names = await readdir(join(folder, 'proto/hostler/v1'));
    protos = names.map((name) => `hostler/v1/${name}`);
    assert.ok(protos.length > 5);
  });
  /** In the folder of the archive, whose path no command needs to know. */
  const inside = (script: string, ...args: string[]) =>
    tryRun('bash', ['-euc', `cd "$0" && ${script}`, folder, ...args]);
  const works = async (script: string, ...args: string[]) => {
    const { code, stdout, stderr } = await inside(script, ...args);
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stdout;
  };
  const generate = async (language: string) => {
    const out = scratch.path(language);
    await mkdir(out, { recursive: true });
    await works(`protoc -I proto "--${language}_out=$1" "\${@:2}"`, out, ...protos);
    return out;
  };

  describe('protoc', () => {
    before(function () {
      needs(this, installed('protoc'), 'protoc could not be installed');
    });

    for (const language of PROTOC_OUTPUTS)
      it(`generates ${language}`, async () => {
        assert.ok((await readdir(await generate(language), { recursive: true })).length >= protos.length);
      });

    it('needs no other file, and no newer protoc than 3.12 for anything but optional fields', async () => {
      await works('protoc -I proto --experimental_allow_proto3_optional -o /dev/null "$@"', ...protos);
      const text = await works('cat proto/hostler/v1/*.proto | sed "s#//.*##"');
      const imports = new Set([...text.matchAll(/^import "([^"]+)";$/gm)].map(([, name]) => name ?? ''));
      assert.deepEqual(
        [...imports].filter((name) => !/^(?:hostler\/v1|google\/protobuf)\//.test(name)),
        [],
      );
      assert.doesNotMatch(text, /^\s*(?:edition|reserved "|extensions \d)|debug_redact|features\./m);
    });

    it('what is generated for Python can be imported', async function () {
      needs(this, existsSync(PYTHON_LIBRARY), 'protobuf for Python could not be installed');
      const out = await generate('python');
      const modules = protos.map((name) => name.replace('.proto', '_pb2').replaceAll('/', '.'));
      const program = modules.map((name) => `import ${name}`).join('\n');
      const { code, stderr } = await tryRun('/usr/bin/python3', ['-c', program], { env: { PYTHONPATH: out } });
      assert.equal(code, 0, stderr);
    });

    it('what is generated for C++ compiles', async function () {
      needs(this, installed('g++') && existsSync(CPP_HEADERS), 'g++ or the headers of protobuf could not be installed');
      const out = await generate('cpp');
      await works('g++ -std=c++17 -fsyntax-only -I "$1" "$1"/hostler/v1/*.pb.cc', out);
    });

    it('what is generated for Java compiles', async function () {
      needs(this, installed('javac') && existsSync(JAVA_LIBRARY), 'javac or protobuf for Java could not be installed');
      const out = await generate('java');
      await works('javac -nowarn -cp "$2" -d "$1/classes" "$1"/dev/hostler/v1/*.java', out, JAVA_LIBRARY);
    });

    it('what is generated for Go compiles', async function () {
      needs(this, existsSync(join(GO_TOOLS, 'protoc-gen-go')), 'protoc-gen-go could not be installed');
      const out = scratch.path('go');
      await mkdir(out);
      const plugins = `PATH="${GO_TOOLS}:$PATH"`;
      const outputs =
        '"--go_out=$1" --go_opt=module=hostler.dev/go "--go-grpc_out=$1" --go-grpc_opt=module=hostler.dev/go';
      await works(`${plugins} protoc -I proto ${outputs} "\${@:2}"`, out, ...protos);
      await writeFile(join(out, 'go.mod'), 'module hostler.dev/go\n\ngo 1.22\n');
      await works('cd "$1" && GOFLAGS=-mod=mod go mod tidy && go build ./...', out);
    });
  });

  it('buf builds it without any package', async () => {
    const alone = scratch.path('alone');
    await cp(folder, alone, { recursive: true });
    await sh('bash', '-euc', 'cd "$1" && "$0" build', BUF, alone);
    assert.equal(await sh('bash', '-euc', 'cd "$1" && "$0" breaking --against hostler.binpb', BUF, alone), '');
  });

  it('buf builds it in a clone in which nothing is installed', async () => {
    const clone = scratch.path('clone');
    await mkdir(clone);
    for (const name of ['proto', 'buf.yaml']) await cp(join(ROOT_FOLDER, name), join(clone, name), { recursive: true });
    await sh('bash', '-euc', 'cd "$1" && "$0" build && "$0" lint', BUF, clone);
  });

  it('ts-proto generates code from it in an empty folder, and that compiles', async () => {
    const empty = scratch.path('typescript');
    await mkdir(empty);
    await writeFile(join(empty, 'package.json'), '{"private": true, "type": "module"}\n');
    const { code, stderr } = await tryRun('bash', [
      '-euc',
      `cd "$0"
       npm install --no-audit --no-fund --loglevel error ts-proto @bufbuild/buf @bufbuild/protobuf @grpc/grpc-js typescript @types/node
       printf '%s\\n' 'version: v2' 'plugins:' '  - local: [node, node_modules/ts-proto/protoc-gen-ts_proto]' '    out: gen' \\
         '    include_imports: true' '    opt: [outputServices=grpc-js, esModuleInterop=true, importSuffix=.js]' >buf.gen.yaml
       npx buf generate "$1/proto"
       npx tsc --noEmit --strict --skipLibCheck --module nodenext --target es2022 --types node $(find gen -name '*.ts')`,
      empty,
      folder,
    ]);
    assert.equal(code, 0, stderr);
  });
});
