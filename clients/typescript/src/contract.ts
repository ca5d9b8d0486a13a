/** Whether the agent and this client fit together. */
import { Code, ContractError, HostlerError } from './errors.js';
import type { GetHostInfoResponse } from './gen/hostler/v1/host_info_service_pb.js';
import { file_hostler_v1_host_info_service } from './gen/hostler/v1/host_info_service_pb.js';

/** The major version of the contract that this client was generated from. */
export const CONTRACT_MAJOR = Number(/\.v(\d+)$/.exec(file_hostler_v1_host_info_service.proto.package)?.[1]);

type Facts = Pick<GetHostInfoResponse, 'agentVersion' | 'contractVersion' | 'features'>;

/** Throws ContractError if the agent serves another major version of the contract. */
export function assertContract({ agentVersion, contractVersion }: Facts): void {
  const agent = `the agent (version ${agentVersion === '' ? 'unknown' : agentVersion})`;
  const own = `this client speaks version ${String(CONTRACT_MAJOR)}`;
  if (contractVersion === '')
    throw new ContractError(`${agent} does not say which contract it serves: it is older; ${own}`);
  if (Number(contractVersion.split('.')[0]) !== CONTRACT_MAJOR)
    throw new ContractError(`${agent} serves version ${contractVersion} of the contract; ${own}`);
}

/** What a failure of GetHostInfo means: what lacks it serves another contract, or none. */
export function contractError(failure: unknown): unknown {
  if (!(failure instanceof HostlerError) || failure.code !== Code.UNIMPLEMENTED || failure.details.length > 0)
    return failure;
  const own = `version ${String(CONTRACT_MAJOR)} of the contract, which this client speaks`;
  return new ContractError(`what answers there does not serve ${own}: it is another major version, or no hostlerd`);
}

/** Throws ContractError if the agent lacks the feature, such as `cursors`. */
export function assertFeature({ agentVersion, features }: Facts, feature: string): void {
  if (features.includes(feature)) return;
  const has = features.length === 0 ? 'none' : features.join(', ');
  throw new ContractError(`the agent (version ${agentVersion}) does not have the feature ${feature}; it has ${has}`);
}
