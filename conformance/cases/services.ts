/** What any client of gRPC may ask: which services are served, and whether they work. */
import assert from 'node:assert/strict';
import { status } from '@grpc/grpc-js';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  ServerReflectionRequest,
  ServerReflectionService,
  type DeepPartial,
} from '../../src/gen/grpc/reflection/v1/reflection.js';
import { refusalFrom } from '../agent/agent.js';
import { rpc, type Rpc } from '../agent/rpc.js';
import type { Bench } from '../bench/bench.js';
import { about, type Behaviour } from '../runner/case.js';

const SERVICES = ['ImageService', 'FileService', 'HostInfoService', 'OperationService', 'CommandService'];
const SERVING = 1;
/** Of a message's first field: length-delimited, and a number. */
const [TEXT, NUMBER] = [10, 8];

/** grpc.health.v1: the request is a name, the answer a status. */
const check: Rpc<string, string, number> = {
  path: '/grpc.health.v1.Health/Check',
  serialize: (service) => Buffer.from(new BinaryWriter().uint32(TEXT).string(service).finish()),
  deserialize: (bytes) => {
    const reader = new BinaryReader(bytes);
    return bytes.length > 0 && reader.uint32() === NUMBER ? reader.int32() : 0;
  },
  request: (service) => service,
};

const info = rpc(ServerReflectionService.serverReflectionInfo, (fields: DeepPartial<ServerReflectionRequest>) =>
  ServerReflectionRequest.fromPartial(fields),
);

type Asked = NonNullable<ServerReflectionRequest['messageRequest']>;

async function reflected(at: Bench, version: string, messageRequest: Asked) {
  const of = { ...info, path: info.path.replace('v1.', `${version}.`) };
  const [answer] = await at.agent.exchange(of, [{ messageRequest }]);
  return answer?.messageResponse;
}

const reflections: readonly Behaviour[] = ['v1', 'v1alpha'].map((version) => ({
  name: `reflection ${version} lists every service, and has the file of each with its dependencies`,
  run: async (at) => {
    const list = await reflected(at, version, { $case: 'listServices', value: '' });
    assert.equal(list?.$case, 'listServicesResponse');
    const names = list.value.service.map(({ name }) => name);
    for (const service of SERVICES) {
      const value = `hostler.v1.${service}`;
      assert.ok(names.includes(value), `${value} is not listed`);
      const file = await reflected(at, version, { $case: 'fileContainingSymbol', value });
      assert.equal(file?.$case, 'fileDescriptorResponse');
      assert.ok(file.value.fileDescriptorProto.length > 0);
    }
  },
}));

export const serviceCases = about('services', [
  ...reflections,
  {
    name: 'reflection of an unknown symbol is an error in the answer, not of the call',
    run: async (at) => {
      const answer = await reflected(at, 'v1', { $case: 'fileContainingSymbol', value: 'no.such.Symbol' });
      assert.equal(answer?.$case, 'errorResponse');
      assert.equal(answer.value.errorCode, status.NOT_FOUND);
    },
  },
  {
    name: 'the agent and each of its services are SERVING',
    run: async (at) => {
      for (const service of ['', ...SERVICES.map((name) => `hostler.v1.${name}`)])
        assert.equal(await at.agent.ask(check, service), SERVING, service);
    },
  },
  {
    name: 'the health of an unknown service is NOT_FOUND',
    run: async (at) => {
      assert.equal((await refusalFrom(at.agent.ask(check, 'no.such.Service'))).code, status.NOT_FOUND);
    },
  },
  {
    name: 'an unknown RPC and an unknown service are UNIMPLEMENTED',
    run: async (at) => {
      for (const path of ['/hostler.v1.ImageService/MakeCoffee', '/hostler.v9.ImageService/CreateImage'])
        assert.equal((await refusalFrom(at.agent.ask({ ...check, path }, ''))).code, status.UNIMPLEMENTED);
    },
  },
]);
