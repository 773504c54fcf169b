export { ipv4Address } from "./address.ts";
export { type ClusterSpecChanges, mergeClusterSpec, parseClusterSpec, signingCAOf } from "./cluster_spec.ts";
export { fieldNames, fieldsOfBody } from "./field_names.ts";
export { parseLogPush } from "./log_push.ts";
export { ENGINE_NETWORK_ID, networkMissing } from "./network_shape.ts";
export { parseNetworkSpec } from "./network_spec.ts";
export { parseNodeDescription } from "./node_description.ts";
export { parseNodeSpec } from "./node_spec.ts";
export { parseNextVersion, parsePayloadSpec, parsePayloadUpdate, parseSealing } from "./payload_spec.ts";
export { MAX_WRAPPED_LENGTH, parseSeals } from "./seals.ts";
export { parseServiceSpec } from "./service_spec.ts";
export { integer, isObject, line, list, oneOf, quoted, record, type Shape, textUpTo } from "./shape.ts";
export {
  forcesNewCluster,
  type MemberRequest,
  parseInitRequest,
  parseJoinRequest,
  parseUnlockRequest,
} from "./swarm_request.ts";
export { shownContainer } from "./shown_container.ts";
export { checkStreamUse, parseStreamCall } from "./stream_request.ts";
export { parseTaskStatus } from "./task_status.ts";
export { parseVariablesChange, type VariablesChange } from "./variables_change.ts";
