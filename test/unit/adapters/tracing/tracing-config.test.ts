/** The table [tracing] is checked when the configuration is read. */
import assert from 'node:assert/strict';
import { ConfigError, parseConfig } from '../../../../src/adapters/config/config.js';

const ROOTS = '[[roots]]\npath = "/images"\n';
const read = (table: string) => parseConfig(`[tracing]\n${table}\n${ROOTS}`, 'hostler.toml').tracing;

describe('the table [tracing]', () => {
  it('is off by default', () => {
    assert.deepEqual(read(''), { protocol: 'http/protobuf', sample_ratio: 1 });
  });

  it('takes collectors by http, https and grpc', () => {
    for (const endpoint of ['http://127.0.0.1:4318', 'https://collector.example/otlp'])
      assert.equal(read(`endpoint = "${endpoint}"`).endpoint, endpoint);
    assert.equal(read('endpoint = "https://collector.example:4317"\nprotocol = "grpc"').protocol, 'grpc');
  });

  for (const [what, table, words] of [
    ['an address without a scheme', 'endpoint = "127.0.0.1:4318"', 'tracing.endpoint: must be http://HOST:PORT'],
    ['another scheme', 'endpoint = "grpc://collector.example:4317"', 'tracing.endpoint: must be http://HOST:PORT'],
    ['a secret', 'endpoint = "http://me:secret@collector.example"', 'tracing.endpoint: must be http://HOST:PORT'],
    ['another protocol', 'protocol = "http/json"', 'tracing.protocol'],
    ['more than all', 'sample_ratio = 1.5', 'tracing.sample_ratio'],
    ['a path for grpc', 'endpoint = "http://c:1/x"\nprotocol = "grpc"', 'tracing: grpc has no path in its endpoint'],
    ['a key that it does not know', 'sampling = 1', 'tracing: '],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.throws(
        () => read(table),
        (error) => error instanceof ConfigError && error.message.includes(`hostler.toml: ${words}`),
      );
    });
});
