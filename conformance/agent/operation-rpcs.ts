/** The RPCs of OperationService. */
import {
  OperationServiceService,
  CancelOperationRequest,
  GetOperationRequest,
  ListOperationsRequest,
  WatchOperationRequest,
  WatchOperationsRequest,
  type DeepPartial,
} from '../../src/gen/hostler/v1/operation_service.js';
import { rpc } from './rpc.js';

export const getOperation = rpc(OperationServiceService.getOperation, (fields: DeepPartial<GetOperationRequest>) =>
  GetOperationRequest.fromPartial(fields),
);
export const listOperations = rpc(
  OperationServiceService.listOperations,
  (fields: DeepPartial<ListOperationsRequest>) => ListOperationsRequest.fromPartial(fields),
);
export const watchOperation = rpc(
  OperationServiceService.watchOperation,
  (fields: DeepPartial<WatchOperationRequest>) => WatchOperationRequest.fromPartial(fields),
);
export const watchOperations = rpc(
  OperationServiceService.watchOperations,
  (fields: DeepPartial<WatchOperationsRequest>) => WatchOperationsRequest.fromPartial(fields),
);
export const cancelOperation = rpc(
  OperationServiceService.cancelOperation,
  (fields: DeepPartial<CancelOperationRequest>) => CancelOperationRequest.fromPartial(fields),
);
