/** Normalizes and validates what `/swarm/init` and `/swarm/join` are asked. */
import { CoveyError, type FieldProblem } from "../errors.ts";
import type { NodeAvailability } from "../node.ts";
import { type AddressPools, checkPools, poolsShape } from "./address_pools.ts";
import { anyObject, flag, line, list, oneOfFolded, quoted, record, type Shape } from "./shape.ts";

const common = {
  ListenAddr: line(),
  AdvertiseAddr: line(),
  DataPathAddr: line(),
  Availability: oneOfFolded(["active", "pause", "drain"], (word) => `invalid Availability: "${word}"`),
};

/** Docker's range of the port that overlay networks use between nodes. */
const MIN_DATA_PATH_PORT = 1024, MAX_DATA_PATH_PORT = 49_151;

const dataPathPort: Shape<number> = (value, path, problems) => {
  if (value === 0) return undefined;
  const isPort = typeof value === "number" && Number.isInteger(value);
  if (isPort && value >= MIN_DATA_PATH_PORT && value <= MAX_DATA_PATH_PORT) return value;
  const range = `(${MIN_DATA_PATH_PORT}-${MAX_DATA_PATH_PORT})`;
  const message = `Datapath port number is not in valid range ${range} : ${quoted(value)}`;
  problems.push({ field: path, message });
};

const initShape = record({
  ...common,
  DataPathPort: dataPathPort,
  ...poolsShape,
  ForceNewCluster: flag,
  AutoLockManagers: flag,
  Spec: anyObject,
});

const unlockShape = record({ UnlockKey: line() });

const joinShape = record({ ...common, RemoteAddrs: list(line()), JoinToken: line() });

/** Addresses and availability of a node that starts or joins a swarm. */
export interface MemberRequest {
  ListenAddr?: string;
  AdvertiseAddr?: string;
  /** IP address or interface to which other nodes send what is for overlay networks. */
  DataPathAddr?: string;
  Availability?: NodeAvailability;
}

/** How overlay networks get from node to node. */
export interface DataPath {
  /** UDP */
  DataPathPort?: number;
}

function check<T>(
  shape: Shape<T>,
  body: unknown,
  action: string,
  more: (found: T, problems: FieldProblem[]) => void,
) {
  const problems: FieldProblem[] = [];
  const found = shape(body, "", problems);
  if (found !== undefined) more(found, problems);
  if (problems.length > 0 || found === undefined) throw CoveyError.invalid(action, problems);
  return found;
}

/** True if `/swarm/init` is asked to go on as the only manager of the swarm that the node is in. */
export function forcesNewCluster(body: unknown): boolean {
  return record({ ForceNewCluster: flag })(body, "", [])?.ForceNewCluster === true;
}

/** What to start a swarm with; `Spec` is not looked into. Throws `invalid_argument` with every problem. */
export function parseInitRequest(
  body: unknown,
): MemberRequest & AddressPools & DataPath & {
  ForceNewCluster?: boolean;
  AutoLockManagers?: boolean;
  Spec?: Record<string, unknown>;
} {
  return check(initShape, body, "start a swarm", checkPools);
}

/** Which swarm to join. Throws as {@linkcode parseInitRequest}. */
export function parseJoinRequest(
  body: unknown,
): MemberRequest & { RemoteAddrs: string[]; JoinToken: string } {
  const { RemoteAddrs = [], JoinToken = "", ...request } = check(
    joinShape,
    body,
    "join a swarm",
    (found, problems) => {
      if (found.RemoteAddrs === undefined) {
        problems.push({ field: "RemoteAddrs", message: "at least 1 RemoteAddr is required to join" });
      }
      if (found.JoinToken === undefined) {
        problems.push({ field: "JoinToken", message: "a join token is required" });
      }
    },
  );
  return { ...request, RemoteAddrs, JoinToken };
}

/** The key to unlock a manager with, empty if none was given. Throws as {@linkcode parseInitRequest}. */
export function parseUnlockRequest(body: unknown): string {
  return check(unlockShape, body, "unlock the swarm", () => {}).UnlockKey ?? "";
}
