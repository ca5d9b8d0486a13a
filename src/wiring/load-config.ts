import { ConfigError, parseConfig, type Config } from '../adapters/config/config.js';
import { ownFile } from '../domain/model/own-files.js';
import { readFile } from 'node:fs/promises';
import { whyNoPattern } from '../adapters/process/argument-patterns.js';

/** Reads and checks a TOML file; unknown keys are errors. Fails with ConfigError, OwnFileError. */
export async function loadConfig(path: string): Promise<Config> {
  const text = await ownFile('the configuration (--config)', path, () => readFile(path, 'utf8'));
  const config = parseConfig(text, path);
  await assertPatterns(config, path);
  return config;
}

/** Fails with ConfigError, which names each argument of a command that is not a valid pattern. */
async function assertPatterns({ commands }: Config, path: string): Promise<void> {
  const places = commands.flatMap((command, index) =>
    command.arguments.map((text, place) => ({ text, at: `commands.${String(index)}.arguments.${String(place)}` })),
  );
  const problems = await Promise.all(places.map(async ({ text, at }) => ({ at, why: await whyNoPattern(text) })));
  const wrong = problems.filter(({ why }) => why !== undefined);
  if (wrong.length > 0)
    throw new ConfigError(
      wrong.map(({ at, why }) => `${path}: ${at}: is no pattern of RE2: ${String(why)}`).join('\n'),
    );
}
