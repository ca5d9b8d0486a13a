import { invalidFields, type FieldViolation } from '../model/errors.js';

export interface Instance {
  readonly uuid: string;
  readonly name: string;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MAX_NAME_BYTES = 255;

export interface InstancePathSpec {
  readonly instance: Instance;
  readonly forceOld: boolean;
  readonly relative: boolean;
}

/**
 * The folder of an instance: by name if that exists or is required, otherwise by UUID. Fails with
 * INVALID_FIELD.
 */
export async function instancePath(
  { instance, forceOld, relative }: InstancePathSpec,
  instancesPath: string,
  exists: (path: string) => Promise<boolean>,
): Promise<string> {
  const needsName = forceOld || instance.name !== '';
  const problems: FieldViolation[] = [
    ...(UUID.test(instance.uuid) ? [] : [{ field: 'instance.uuid', description: 'must be a UUID' }]),
    ...(needsName ? componentProblem('instance.name', instance.name) : []),
  ];
  if (problems.length > 0) throw invalidFields(problems);
  const old = instance.name !== '' && (forceOld || (await exists(`${instancesPath}/${instance.name}`)));
  const component = old ? instance.name : instance.uuid;
  return relative ? component : `${instancesPath}/${component}`;
}

/**
 * The folder of an instance that is being migrated to this host: the one that the source names,
 * otherwise as `instancePath`. Fails with INVALID_FIELD.
 */
export async function instancePathAtDestination(
  spec: InstancePathSpec & { readonly relativePath?: string | undefined },
  instancesPath: string,
  exists: (path: string) => Promise<boolean>,
): Promise<string> {
  const { relativePath } = spec;
  const usual = await instancePath(spec, instancesPath, exists);
  if (relativePath === undefined) return usual;
  const problems = componentProblem('migrate_data.instance_relative_path', relativePath);
  if (problems.length > 0) throw invalidFields(problems);
  return `${instancesPath}/${relativePath}`;
}

/** A single plain component cannot lead out of its parent folder. */
function componentProblem(field: string, name: string): FieldViolation[] {
  const plain = name !== '' && name !== '.' && name !== '..' && !/[/\0\uFFFD]/.test(name);
  return plain && Buffer.byteLength(name) <= MAX_NAME_BYTES
    ? []
    : [{ field, description: 'must be one plain path component' }];
}
