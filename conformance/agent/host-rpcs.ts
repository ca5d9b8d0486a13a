/** The RPCs of HostInfoService. */
import {
  HostInfoServiceService,
  GetArchitectureRequest,
  GetFilesystemInfoRequest,
  GetHostInfoRequest,
  GetInstancePathAtDestinationRequest,
  GetInstancePathRequest,
  GetIscsiInitiatorRequest,
  GetPoolInfoRequest,
  IsMountedRequest,
  PickDiskDriverNameRequest,
  ValidateHostnameRequest,
  WatchFilesystemRequest,
  type DeepPartial,
} from '../../src/gen/hostler/v1/host_info_service.js';
import { rpc } from './rpc.js';

export const getHostInfo = rpc(HostInfoServiceService.getHostInfo, (fields: object) =>
  GetHostInfoRequest.fromPartial(fields),
);
export const getFilesystemInfo = rpc(
  HostInfoServiceService.getFilesystemInfo,
  (fields: DeepPartial<GetFilesystemInfoRequest>) => GetFilesystemInfoRequest.fromPartial(fields),
);
export const getPoolInfo = rpc(HostInfoServiceService.getPoolInfo, (fields: DeepPartial<GetPoolInfoRequest>) =>
  GetPoolInfoRequest.fromPartial(fields),
);
export const watchFilesystem = rpc(
  HostInfoServiceService.watchFilesystem,
  (fields: DeepPartial<WatchFilesystemRequest>) => WatchFilesystemRequest.fromPartial(fields),
);
export const getArchitecture = rpc(
  HostInfoServiceService.getArchitecture,
  (fields: DeepPartial<GetArchitectureRequest>) => GetArchitectureRequest.fromPartial(fields),
);
export const getIscsiInitiator = rpc(HostInfoServiceService.getIscsiInitiator, (fields: object) =>
  GetIscsiInitiatorRequest.fromPartial(fields),
);
export const isMounted = rpc(HostInfoServiceService.isMounted, (fields: DeepPartial<IsMountedRequest>) =>
  IsMountedRequest.fromPartial(fields),
);
export const validateHostname = rpc(
  HostInfoServiceService.validateHostname,
  (fields: DeepPartial<ValidateHostnameRequest>) => ValidateHostnameRequest.fromPartial(fields),
);
export const pickDiskDriverName = rpc(
  HostInfoServiceService.pickDiskDriverName,
  (fields: DeepPartial<PickDiskDriverNameRequest>) => PickDiskDriverNameRequest.fromPartial(fields),
);
export const getInstancePath = rpc(
  HostInfoServiceService.getInstancePath,
  (fields: DeepPartial<GetInstancePathRequest>) => GetInstancePathRequest.fromPartial(fields),
);
export const getInstancePathAtDestination = rpc(
  HostInfoServiceService.getInstancePathAtDestination,
  (fields: DeepPartial<GetInstancePathAtDestinationRequest>) => GetInstancePathAtDestinationRequest.fromPartial(fields),
);
