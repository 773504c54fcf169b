/**
 * Covey's public face: the object model, the executor contract for executors of your own, and the client of the control
 * API. Every symbol has an example in its docstring, which `tests/examples_test.ts` runs.
 *
 * @module
 */
export { type Cluster, type ClusterSpec } from "./api/cluster.ts";
export { type ContainerSpec } from "./api/container_spec.ts";
export { type DenoPermissions, type DenoSpec } from "./api/deno_spec.ts";
export { CoveyError, type ErrorCode, hasCode } from "./api/errors.ts";
export { type Network, type NetworkAttachment, type NetworkSpec, type VirtualIP } from "./api/network.ts";
export { type Node, type NodeDescription, type NodeSpec } from "./api/node.ts";
export { type Limits, type Meta, type Resources } from "./api/objects.ts";
export {
  type Endpoint,
  type EndpointSpec,
  type GenericSpec,
  isGlobal,
  isJob,
  type JobStatus,
  type Placement,
  type ProcessSpec,
  replicas,
  type RestartPolicy,
  RUNTIME_CONTAINER,
  RUNTIME_DENO,
  RUNTIME_PROCESS,
  type Service,
  type ServiceMode,
  type ServiceSpec,
  type TaskSpec,
  type UpdateConfig,
} from "./api/service.ts";
export { type ContainerStatus, type Task, taskName, type TaskStatus } from "./api/task.ts";
export { compareStates, isTerminal, TASK_STATES, type TaskState } from "./api/task_state.ts";
export { ControlClient } from "./cli/client.ts";
export {
  type Capabilities,
  type Capability,
  type Controller,
  type Dependencies,
  type Executor,
  type ExecutorContext,
  type ExecutorDescription,
  type ExecutorFactory,
  type Exit,
  type Handle,
  type OverlayExecutor,
  type Sweeper,
} from "./executors/executor.ts";
export type { OverlayNetworks, ReadyNetwork } from "./executors/overlay_networks.ts";
