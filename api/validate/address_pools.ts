/** Checks where a new cluster's networks are to get their addresses from. */
import { DEFAULT_SUBNET_SIZE } from "../cluster.ts";
import type { FieldProblem } from "../errors.ts";
import { type Block, formatBlock, isForHosts, overlap, parseBlock } from "../ipv4.ts";
import { ipv4Block } from "./address.ts";
import { list, type Shape } from "./shape.ts";

/** Bits of the largest pool: more would be half of all addresses. */
const MIN_POOL_BITS = 8;
/** Bits of the smallest subnet that the cluster's pools may be cut into (Docker's). */
const MAX_SUBNET_BITS = 29;
/** Pools that addresses may be taken from. */
const MAX_POOLS = 64;

/** Where a new cluster's networks get their addresses from, in Docker's names. */
export interface AddressPools {
  DefaultAddrPool?: string[];
  SubnetSize?: number;
}

/** The fields of {@linkcode AddressPools}. */
export const poolsShape = {
  DefaultAddrPool: list(ipv4Block, MAX_POOLS),
  SubnetSize: ((value, path, problems) => {
    if (value === 0) return undefined;
    if (typeof value === "number" && value >= 1 && value <= MAX_SUBNET_BITS) return value;
    problems.push({ field: path, message: `subnet size is out of range: ${value}` });
  }) as Shape<number>,
};

/** Notes what keeps `pools` from being cut; fills in nothing. */
export function checkPools(
  { DefaultAddrPool = [], SubnetSize = DEFAULT_SUBNET_SIZE }: AddressPools,
  problems: FieldProblem[],
): void {
  const blocks: Block[] = [];
  for (const [index, pool] of DefaultAddrPool.entries()) {
    const block = parseBlock(pool)!, field = `DefaultAddrPool[${index}]`;
    const other = blocks.find((each) => overlap(each, block));
    if (block.bits < MIN_POOL_BITS || !isForHosts(block)) {
      problems.push({
        field,
        message: `invalid default address pool ${pool}: it has addresses that no host has`,
      });
    } else if (SubnetSize < block.bits) {
      problems.push({ field, message: `invalid CIDR: "${pool}". Subnet size is too small ${SubnetSize}` });
    } else if (other !== undefined) {
      problems.push({ field, message: `default address pool ${pool} overlaps with ${formatBlock(other)}` });
    }
    blocks.push(block);
  }
}
