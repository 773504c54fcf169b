/** How the networks that every engine has are shown, as parts of the swarm. */
import type { PredefinedNetwork } from "../../../api/predefined_network.ts";

/** Docker's mark on them. */
export const PREDEFINED_LABELS = { "com.docker.swarm.predefined": "true" };
/** Nobody made them: Go's word for no time. */
const NEVER = "0001-01-01T00:00:00Z";

/** A network by itself. */
export function networkView({ ID, Name, Driver }: PredefinedNetwork): Record<string, unknown> {
  return {
    Name,
    Id: ID,
    Created: NEVER,
    Scope: "swarm",
    Driver,
    EnableIPv4: false,
    EnableIPv6: false,
    IPAM: { Driver: "", Options: {}, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Containers: {},
    Options: {},
    Labels: PREDEFINED_LABELS,
  };
}

/** A network as part of a task. */
export function attachedNetworkView({ ID, Name, Driver }: PredefinedNetwork): Record<string, unknown> {
  return {
    ID,
    Version: { Index: 0 },
    CreatedAt: NEVER,
    UpdatedAt: NEVER,
    Spec: { Name, Labels: PREDEFINED_LABELS, DriverConfiguration: { Name: Driver }, Scope: "swarm" },
    DriverState: { Name: Driver },
    IPAMOptions: { Driver: {} },
  };
}
