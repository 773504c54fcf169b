/**
 * What a new network gets out of what the cluster has: a VXLAN identifier and its subnets, which collide with no other
 * network's and with no node. Pure; to be called within the transaction that creates the network.
 */
import { type Cluster, DEFAULT_ADDRESS_POOL, DEFAULT_SUBNET_SIZE } from "../../api/cluster.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import {
  type Block,
  blockAt,
  formatBlock,
  formatIPv4,
  overlap,
  parseBlock,
  parseIPv4,
} from "../../api/ipv4.ts";
import {
  type IPAMConfig,
  MAX_VNI,
  type Network,
  type NetworkSpec,
  type NetworkSubnet,
  VNI_OPTION,
} from "../../api/network.ts";
import type { Node } from "../../api/node.ts";
import type { ReadView } from "../store/store.ts";

/** Networks of a cluster, which a creation looks at one by one. */
const MAX_NETWORKS = 10_000;

/** Docker's first VXLAN network identifier, of those that nobody names. */
const MIN_VNI = 4096;

/** Addresses that are somebody's. */
interface Taken {
  block: Block;
  /** Whose, in words. */
  by: string;
}

/** The part of a network that the cluster gives it. */
export type Share = Pick<Network, "VNI" | "Subnets">;

/** Throws `invalid_argument` for a subnet that collides, `resource_exhausted` where nothing is left. */
export function carve(
  view: ReadView,
  cluster: Pick<Cluster, "DefaultAddrPool" | "SubnetSize">,
  spec: NetworkSpec,
): Share {
  const networks = view.all("networks");
  if (networks.length >= MAX_NETWORKS) {
    const why = `there are ${networks.length} already, at most ${MAX_NETWORKS} are allowed`;
    throw new CoveyError("failed_precondition", `Cannot create network ${spec.Name}: ${why}`);
  }
  const taken = [...networks.flatMap(ofNetwork), ...view.all("nodes").flatMap(ofNode)];
  const Subnets = spec.Subnets === undefined
    ? [withGateway({ Subnet: formatBlock(freeSubnet(cluster, taken, spec.Name)) })]
    : checked(spec.Subnets, taken).map(withGateway);
  return { VNI: chosenVNI(spec, networks) ?? freeVNI(networks), Subnets };
}

function ofNetwork({ Spec, Subnets, RemovedAt }: Network): Taken[] {
  const by = `network ${Spec.Name}${RemovedAt === undefined ? "" : ", which is being removed"}`;
  return Subnets.map(({ Subnet }) => ({ block: parseBlock(Subnet)!, by }));
}

function ofNode({ ID, Status, Description }: Node): Taken[] {
  const by = `node ${Description?.Hostname || ID}`;
  return [Status.Addr, Description?.DataPathAddr ?? ""].flatMap((text) => {
    const address = parseIPv4(text);
    return address === undefined ? [] : [{ block: blockAt(address, 32), by }];
  });
}

function checked(subnets: readonly IPAMConfig[], taken: readonly Taken[]): readonly IPAMConfig[] {
  const problems = subnets.flatMap(({ Subnet }, index): FieldProblem[] => {
    const block = parseBlock(Subnet)!, other = taken.find((each) => overlap(each.block, block));
    if (other === undefined) return [];
    const what = other.block.bits === 32
      ? `holds the address ${formatIPv4(other.block.first)} of`
      : `overlaps with ${formatBlock(other.block)} of`;
    return [{ field: `IPAM.Config[${index}].Subnet`, message: `subnet ${Subnet} ${what} ${other.by}` }];
  });
  if (problems.length > 0) throw CoveyError.invalid("create the network", problems);
  return subnets;
}

/** The first free subnet of the pools, in their order. */
function freeSubnet(
  { DefaultAddrPool = [...DEFAULT_ADDRESS_POOL], SubnetSize = DEFAULT_SUBNET_SIZE }: Pick<
    Cluster,
    "DefaultAddrPool" | "SubnetSize"
  >,
  taken: readonly Taken[],
  name: string,
): Block {
  const sorted = taken.map(({ block }) => block).sort((a, b) => a.first - b.first);
  for (const pool of DefaultAddrPool.map((text) => parseBlock(text)!)) {
    let candidate = blockAt(pool.first, SubnetSize);
    for (const other of sorted) {
      if (other.first > candidate.last) break;
      // Rounded up to where a subnet may begin.
      if (overlap(other, candidate)) candidate = following(other, SubnetSize);
    }
    if (candidate.last <= pool.last) return candidate;
  }
  throw new CoveyError(
    "failed_precondition",
    `Cannot create network ${name}: no subnet of /${SubnetSize} is left of ${DefaultAddrPool.join(", ")}`,
  );
}

function following({ last }: Block, bits: number): Block {
  const at = blockAt(last, bits);
  return { first: at.last + 1, last: at.last + 1 + (at.last - at.first), bits };
}

/** The first address that a host can have is the gateway, unless the spec names one. */
function withGateway(config: IPAMConfig): NetworkSubnet {
  const first = parseBlock(config.Subnet)!.first + 1;
  const kept = new Set(Object.values(config.AuxiliaryAddresses ?? {}));
  let gateway = first;
  while (config.Gateway === undefined && kept.has(formatIPv4(gateway))) gateway++;
  return { ...config, Gateway: config.Gateway ?? formatIPv4(gateway) };
}

function chosenVNI({ Options = {} }: NetworkSpec, networks: readonly Network[]): number | undefined {
  if (!Object.hasOwn(Options, VNI_OPTION)) return undefined;
  const VNI = Number(Options[VNI_OPTION]), other = networks.find((each) => each.VNI === VNI);
  if (other === undefined) return VNI;
  const message = `${VNI} is the identifier of network ${other.Spec.Name}`;
  throw CoveyError.invalid("create the network", [{ field: `Options.${VNI_OPTION}`, message }]);
}

function freeVNI(networks: readonly Network[]): number {
  const taken = new Set(networks.map((each) => each.VNI));
  for (let vni = MIN_VNI; vni <= MAX_VNI; vni++) if (!taken.has(vni)) return vni;
  throw new CoveyError("failed_precondition", "Cannot create a network: no VXLAN identifier is left");
}
