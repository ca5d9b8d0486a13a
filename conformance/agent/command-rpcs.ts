/** The RPCs of CommandService. */
import { CommandServiceService, ExecuteRequest, type DeepPartial } from '../../src/gen/hostler/v1/command_service.js';
import { rpc } from './rpc.js';

export const execute = rpc(CommandServiceService.execute, (fields: DeepPartial<ExecuteRequest>) =>
  ExecuteRequest.fromPartial(fields),
);
