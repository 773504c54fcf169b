/** Normalizes and validates a network as it comes from a client. Rules and texts: SwarmKit `controlapi/network.go`. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import { type Block, contains, formatBlock, isForHosts, overlap, parseBlock, parseIPv4 } from "../ipv4.ts";
import {
  type IPAMConfig,
  MAX_VNI,
  MTU_OPTION,
  type NetworkSpec,
  OVERLAY_DRIVER,
  VNI_OPTION,
} from "../network.ts";
import { RELAY_OPTION } from "../relay.ts";
import { ipv4Address } from "./address.ts";
import { checkName } from "./name.ts";
import {
  checkSize,
  flag,
  line,
  list,
  mapOf,
  onlyTrue,
  record,
  refused,
  type Shape,
  type Shaped,
  stringMap,
  unsupported,
} from "./shape.ts";

/** Bytes of a spec as JSON: each network is in every manager's memory and in every list. */
const MAX_SPEC_BYTES = 64 * 1024;
/** Subnets of one network: each is an address on each node that the network goes to. */
const MAX_SUBNETS = 16;
/** Addresses kept back in one subnet. */
const MAX_AUXILIARY_ADDRESSES = 256;
/** Bits of a mask: more than a /8 is half of what there is, and a /31 has no room beside its gateway. */
const MIN_MASK_BITS = 8, MAX_MASK_BITS = 30;
/** Bytes of the smallest packet that every IPv4 host takes, and of the largest that there is; 0 is the usual. */
const MIN_MTU = 576, MAX_MTU = 65_535;

/** Docker's option by which IPsec is asked for. */
const ENCRYPTED_OPTION = "encrypted";

const yes: Shape<true> = (value, path, problems) => onlyTrue(value, path, problems) ? true : undefined;

const auxiliary: Shape<Record<string, string>> = (value, path, problems) => {
  const found = mapOf(ipv4Address)(value, path, problems);
  if (found === undefined || Object.keys(found).length <= MAX_AUXILIARY_ADDRESSES) return found;
  const message = `has ${Object.keys(found).length} entries, more than ${MAX_AUXILIARY_ADDRESSES}`;
  problems.push({ field: path, message });
};

const configShape = record({
  Subnet: line(),
  IPRange: line(),
  Gateway: line(),
  AuxiliaryAddresses: auxiliary,
});

const networkShape = record({
  Name: line(),
  CheckDuplicate: flag,
  Driver: line(),
  Scope: line(),
  Internal: yes,
  Attachable: yes,
  Ingress: yes,
  ConfigOnly: unsupported("a configuration for networks is a node's own"),
  ConfigFrom: record({ Network: unsupported("a network of the swarm has its own configuration") }),
  EnableIPv4: (value, path, problems) =>
    value === false
      ? refused("an overlay network without IPv4 is not available")(value, path, problems)
      : undefined,
  EnableIPv6: unsupported("IPv6 in overlay networks is not available yet"),
  IPAM: record({
    Driver: line(),
    Options: unsupported("the address manager has no options"),
    Config: list(configShape, MAX_SUBNETS),
  }),
  Options: stringMap,
  Labels: stringMap,
});

/** What to make. Throws `invalid_argument` with every problem. */
export function parseNetworkSpec(body: unknown): NetworkSpec {
  const problems: FieldProblem[] = [];
  const checked = networkShape(body, "", problems) ?? {};
  const { Name = "", Driver, IPAM, Options, Labels = {}, Internal, Attachable, Ingress } = checked;
  if (Name === "" && problems.length === 0) problems.push({ field: "Name", message: "invalid name: " });
  else if (Name !== "") checkName(Name, "Name", problems);
  checkKind(checked, problems);
  if (Driver !== undefined && Driver !== OVERLAY_DRIVER) {
    problems.push({
      field: "Driver",
      message: `the swarm's networks are of the driver overlay, not ${Driver}`,
    });
  }
  if (IPAM?.Driver !== undefined && IPAM.Driver.toLowerCase() !== "default") {
    problems.push({ field: "IPAM.Driver", message: `error during lookup of plugin ${IPAM.Driver}` });
  }
  checkOptions(Options ?? {}, problems);
  const subnets = settleSubnets(IPAM?.Config ?? [], problems);
  const spec: NetworkSpec = {
    Name,
    Labels,
    ...(Internal && { Internal }),
    ...(Attachable && { Attachable }),
    ...(Ingress && { Ingress }),
    ...(Options && { Options }),
    ...(subnets.length > 0 && { Subnets: subnets }),
  };
  checkSize(spec, "spec", MAX_SPEC_BYTES, problems);
  if (problems.length > 0) throw CoveyError.invalid("use the network spec", problems);
  return spec;
}

function checkKind(
  { Driver, Scope, Ingress, Attachable }: Shaped<typeof networkShape>,
  problems: FieldProblem[],
) {
  if (Scope !== undefined && Scope !== "swarm") {
    problems.push({ field: "Scope", message: "an overlay network is of the swarm" });
  } else if (Driver === undefined) {
    problems.push({ field: "Driver", message: "driver name: if driver is specified name is required" });
  }
  if (Ingress && Attachable) {
    problems.push({ field: "Attachable", message: "ingress network cannot be attachable" });
  }
}

function checkOptions(options: Record<string, string>, problems: FieldProblem[]): void {
  const note = (name: string, message: string) => problems.push({ field: `Options.${name}`, message });
  if (Object.hasOwn(options, ENCRYPTED_OPTION)) {
    note(ENCRYPTED_OPTION, "encrypted overlay networks are not available yet");
  }
  if (Object.hasOwn(options, VNI_OPTION) && !isVNI(options[VNI_OPTION]!)) {
    note(VNI_OPTION, `must be one number, 1 to ${MAX_VNI}: current value is "${options[VNI_OPTION]}"`);
  }
  if (Object.hasOwn(options, RELAY_OPTION) && !["on", "off"].includes(options[RELAY_OPTION]!)) {
    note(RELAY_OPTION, `must be on or off: current value is "${options[RELAY_OPTION]}"`);
  }
  if (!Object.hasOwn(options, MTU_OPTION)) return;
  const mtu = options[MTU_OPTION]!, bytes = Number(mtu);
  if (/^\d{1,5}$/.test(mtu) && (bytes === 0 || (bytes >= MIN_MTU && bytes <= MAX_MTU))) return;
  note(MTU_OPTION, `must be ${MIN_MTU} to ${MAX_MTU}: current value is "${mtu}"`);
}

function isVNI(text: string): boolean {
  return /^[1-9]\d{0,7}$/.test(text) && Number(text) <= MAX_VNI;
}

/** The subnets, each written as its network's address. */
function settleSubnets(
  configs: readonly Shaped<typeof configShape>[],
  problems: FieldProblem[],
): IPAMConfig[] {
  const taken: Block[] = [];
  return configs.flatMap((config, index) => {
    const field = `IPAM.Config[${index}]`, before = problems.length;
    const settled = settleSubnet(config, field, problems);
    if (settled === undefined || problems.length > before) return [];
    const block = parseBlock(settled.Subnet)!;
    const other = taken.find((each) => overlap(each, block));
    if (other !== undefined) {
      const message = `subnet ${settled.Subnet} overlaps with ${formatBlock(other)} of the same network`;
      problems.push({ field: `${field}.Subnet`, message });
    }
    taken.push(block);
    return [settled];
  });
}

function settleSubnet(
  { Subnet = "", IPRange, Gateway, AuxiliaryAddresses }: Shaped<typeof configShape>,
  field: string,
  problems: FieldProblem[],
): IPAMConfig | undefined {
  const note = (name: string, message: string) => problems.push({ field: `${field}.${name}`, message });
  const block = parseBlock(Subnet);
  if (block === undefined) {
    const family = Subnet.includes(":")
      ? "IPv6 in overlay networks is not available yet"
      : "invalid CIDR address";
    return void note("Subnet", `Invalid subnet ${Subnet} : ${family}: ${Subnet}`);
  }
  if (block.bits < MIN_MASK_BITS || block.bits > MAX_MASK_BITS) {
    note(
      "Subnet",
      `must have a mask of ${MIN_MASK_BITS} to ${MAX_MASK_BITS} bits: current value is "${Subnet}"`,
    );
  }
  if (!isForHosts(block)) note("Subnet", `subnet ${Subnet} has no addresses of hosts`);
  const range = IPRange === undefined ? undefined : parseBlock(IPRange);
  if (IPRange !== undefined && range === undefined) {
    note("IPRange", `ipam configuration: invalid range ${IPRange}`);
  } else if (range && (range.bits < block.bits || !contains(block, range.first))) {
    note("IPRange", `ipam configuration: subnet ${Subnet} does not contain range ${IPRange}`);
  }
  const gateway = Gateway === undefined ? undefined : parseIPv4(Gateway);
  if (Gateway !== undefined && gateway === undefined) {
    note("Gateway", `ipam configuration: invalid gateway ${Gateway}`);
  } else if (gateway !== undefined && !contains(block, gateway)) {
    note("Gateway", `ipam configuration: subnet ${Subnet} does not contain gateway ${Gateway}`);
  } else if (gateway === block.first || gateway === block.last) {
    note("Gateway", `ipam configuration: no host has the address ${Gateway} of subnet ${Subnet}`);
  }
  for (const [name, address] of Object.entries(AuxiliaryAddresses ?? {})) {
    if (contains(block, parseIPv4(address)!)) continue;
    note(`AuxiliaryAddresses.${name}`, `ipam configuration: subnet ${Subnet} does not contain ${address}`);
  }
  return {
    Subnet: formatBlock(block),
    ...(range && { IPRange: formatBlock(range) }),
    ...(Gateway !== undefined && { Gateway }),
    ...(AuxiliaryAddresses && { AuxiliaryAddresses }),
  };
}
