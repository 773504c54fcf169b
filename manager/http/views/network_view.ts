/** How networks are shown: the swarm's own, and those that every engine has as parts of the swarm. */
import { type Network, OVERLAY_DRIVER, VNI_OPTION } from "../../../api/network.ts";
import type { PredefinedNetwork } from "../../../api/predefined_network.ts";
import { inOrder } from "./task_spec_view.ts";

/** Docker's mark on them. */
export const PREDEFINED_LABELS = { "com.docker.swarm.predefined": "true" };
/** Nobody made them: Go's word for no time. */
const NEVER = "0001-01-01T00:00:00Z";

/** What Docker shows of a network of any kind. */
const COMMON = {
  Scope: "swarm",
  EnableIPv6: false,
  ConfigFrom: { Network: "" },
  ConfigOnly: false,
  Containers: {},
};

const ORDER = [
  "Name",
  "Id",
  "Created",
  "Scope",
  "Driver",
  "EnableIPv4",
  "EnableIPv6",
  "IPAM",
  "Internal",
  "Attachable",
  "Ingress",
];

/** A network that every engine has, by itself. */
export function predefinedView({ ID, Name, Driver }: PredefinedNetwork): Record<string, unknown> {
  const own = {
    Name,
    Id: ID,
    Created: NEVER,
    Driver,
    EnableIPv4: false,
    IPAM: { Driver: "", Options: {}, Config: [] },
    Internal: false,
    Attachable: false,
    Ingress: false,
    Options: {},
    Labels: PREDEFINED_LABELS,
  };
  return inOrder({ ...COMMON, ...own }, ORDER);
}

/** A network of the swarm, by itself. */
export function networkView(network: Network): Record<string, unknown> {
  const { ID, CreatedAt, Spec, Subnets } = network;
  const own = {
    Name: Spec.Name,
    Id: ID,
    Created: CreatedAt,
    Driver: OVERLAY_DRIVER,
    EnableIPv4: true,
    IPAM: { Driver: "default", Options: {}, Config: Subnets },
    Internal: Spec.Internal ?? false,
    Attachable: Spec.Attachable ?? false,
    Ingress: Spec.Ingress ?? false,
    Options: driverOptions(network),
    Labels: Spec.Labels,
  };
  return inOrder({ ...COMMON, ...own }, ORDER);
}

function driverOptions({ Spec, VNI }: Network): Record<string, string> {
  return { [VNI_OPTION]: String(VNI), ...Spec.Options };
}

/** A network that every engine has, as part of a task. */
export function attachedPredefinedView({ ID, Name, Driver }: PredefinedNetwork): Record<string, unknown> {
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

/** A network of the swarm, as part of a task. */
export function attachedNetworkView(network: Network): Record<string, unknown> {
  const { ID, Version, CreatedAt, UpdatedAt, Spec, Subnets } = network;
  const configs = (subnets: Network["Subnets"] | undefined) =>
    subnets?.map(({ Subnet, IPRange, Gateway }) => inOrder({ Subnet, Range: IPRange, Gateway }, []));
  return {
    ID,
    Version,
    CreatedAt,
    UpdatedAt,
    Spec: inOrder({
      Name: Spec.Name,
      Labels: Spec.Labels,
      DriverConfiguration: inOrder({ Name: OVERLAY_DRIVER, Options: Spec.Options }, []),
      Internal: Spec.Internal,
      Attachable: Spec.Attachable,
      Ingress: Spec.Ingress,
      IPAMOptions: inOrder({ Driver: {}, Configs: configs(Spec.Subnets as Network["Subnets"]) }, []),
      Scope: "swarm",
    }, []),
    DriverState: { Name: OVERLAY_DRIVER, Options: driverOptions(network) },
    IPAMOptions: { Driver: { Name: "default" }, Configs: configs(Subnets) },
  };
}
