/** What a run knows of the agent before its first case. */
import type { GetHostInfoResponse, RootInfo } from '../../src/gen/hostler/v1/host_info_service.js';
import type { Agent } from '../agent/agent.js';
import type { Access } from '../agent/connect.js';

export interface World {
  readonly access: Access;
  readonly agent: Agent;
  /** A caller with fewer roles; unset: none was given. */
  readonly second: Agent | undefined;
  readonly host: GetHostInfoResponse;
  /** The configured root in which the run works. */
  readonly root: RootInfo;
  /** Kills the agent and starts it again, as a command of the shell. */
  readonly restartCommand: string | undefined;
  /** The only folder that the run writes to. */
  readonly folder: string;
  /** The value of the label of every operation of this run. */
  readonly run: string;
}
