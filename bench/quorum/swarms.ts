/** Clusters of three managers with Docker's swarm API: ours and Docker Swarm's. */
import { Managers } from "../../tests/chaos/managers.ts";
import { PrivateNetwork } from "../../tests/chaos/private_network.ts";
import { HTTPConnection } from "./http_connection.ts";

const REQUEST_TIMEOUT_MS = 20_000;
const FAIL_OVER_LIMIT_MS = 120_000;
const RETRY_MS = 10;

/** Services a second that `clients` clients create through `socket` in `durationMs`. */
export async function measureCreates(socket: string, durationMs: number, clients: number): Promise<number> {
  const connections = await Promise.all(Array.from({ length: clients }, () => connect(socket)));
  const run = crypto.randomUUID().slice(0, 8);
  const start = performance.now();
  let nth = 0;
  await Promise.all(connections.map(async (connection) => {
    while (performance.now() - start < durationMs) await create(connection, `bench-${run}-${nth++}`);
  }));
  const seconds = (performance.now() - start) / 1000;
  for (const connection of connections) connection.close();
  return nth / seconds;
}

/** Milliseconds from `kill` to the next service created through `socket`. */
export async function failOver(socket: string, kill: () => Promise<void>): Promise<number> {
  const run = crypto.randomUUID().slice(0, 8);
  const once = async (name: string) => {
    const connection = await connect(socket);
    const limit = setTimeout(() => connection.close(), REQUEST_TIMEOUT_MS);
    await create(connection, name).finally(() => clearTimeout(limit));
    connection.close();
  };
  await once(`before-${run}`);
  const start = performance.now();
  await kill();
  for (let nth = 0;; nth++) {
    try {
      await once(`after-${run}-${nth}`);
      break;
    } catch (thrown) {
      if (performance.now() - start > FAIL_OVER_LIMIT_MS) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
  return performance.now() - start;
}

/** Our managers, in a network of their own. */
export async function withManagers(
  folder: string,
  run: (managers: Managers & { leader(): Promise<number> }) => Promise<void>,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const network = new PrivateNetwork(3);
  const managers = new Managers(network, 3, folder);
  try {
    await managers.startAll();
    await run(Object.assign(managers, { leader: () => findLeader(managers) }));
  } finally {
    await managers.killAll();
    network.remove();
  }
}

/** Docker Swarm, by the script that starts it. */
export class SwarmPeer {
  readonly #script: string;
  readonly #folder: string;

  constructor(script: string, folder: string) {
    this.#script = script;
    this.#folder = folder;
  }

  socket(index: number): string {
    return `${this.#folder}/${index + 1}/docker.sock`;
  }

  /** Starts three managers; the first one leads. */
  async start(): Promise<void> {
    await this.#run("up");
  }

  async kill(index: number): Promise<void> {
    Deno.kill(Number(await Deno.readTextFile(`${this.#folder}/${index + 1}/pid`)), "SIGKILL");
  }

  async stop(): Promise<void> {
    await this.#run("down");
  }

  async #run(command: string): Promise<void> {
    const { success, stderr } = await new Deno.Command(this.#script, { args: [command, this.#folder] })
      .output();
    if (!success) {
      throw new Error(`Cannot run ${this.#script} ${command}: ${new TextDecoder().decode(stderr)}`);
    }
  }
}

async function findLeader(managers: Managers): Promise<number> {
  let leader = -1;
  await managers.waitUntil("there is a leader", async () => {
    const nodes = await managers.get(0, "/nodes") as { ManagerStatus?: { Leader?: boolean; Addr: string } }[];
    const address = nodes?.find(({ ManagerStatus }) => ManagerStatus?.Leader)?.ManagerStatus?.Addr;
    leader = [0, 1, 2].findIndex((index) => managers.address(index) === address);
    return leader >= 0;
  });
  return leader;
}

function connect(path: string): Promise<HTTPConnection> {
  return HTTPConnection.open({ transport: "unix", path }, "/v1.41/services/create", "application/json");
}

async function create(connection: HTTPConnection, name: string): Promise<void> {
  const { status, body } = await connection.post(JSON.stringify({
    Name: name,
    TaskTemplate: { ContainerSpec: { Image: "busybox:local", Command: ["sleep", "100000"] } },
    Mode: { Replicated: { Replicas: 0 } },
  }));
  if (status !== 201) throw new Error(`Cannot create ${name}: ${status} ${body}`);
}
