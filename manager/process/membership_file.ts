/** What a node remembers of its membership: `node.json` in the state folder. */
import { CoveyError } from "../../api/errors.ts";
import type { NodeAvailability, NodeRole } from "../../api/node.ts";
import { isObject } from "../../api/validate/mod.ts";
import { sealingFolders } from "../consensus/disk/seal_folder.ts";
import { systemFileSystem, writeFileAtomically } from "../../security/mod.ts";

/** Format of `node.json`; raised when an older program could not read it. */
const FORMAT = 1;

/** The membership of a node. Addresses are HOST:PORT. */
export interface NodeMembership {
  nodeID: string;
  clusterID: string;
  role: NodeRole;
  listen: string;
  advertise: string;
  /** See `OwnAddresses`: an IP address. */
  dataPath?: string;
  /** See `RememberedAddresses`. */
  ownHosts?: string[];
  /** Managers to reach the cluster through. */
  managers: string[];
  /** A manager that was added to its quorum; others started a cluster. */
  joined?: boolean;
  /** Availability wanted at first; only read until the node object exists. */
  availability: NodeAvailability;
}

function checkMembership(record: Record<string, unknown>): asserts record is NodeMembership & typeof record {
  const { role, managers, availability } = record;
  const wrong = ["nodeID", "clusterID", "listen", "advertise"].filter((name) =>
    typeof record[name] !== "string" || record[name] === ""
  );
  if (role !== "worker" && role !== "manager") wrong.push("role");
  if (!Array.isArray(managers) || !managers.every((each) => typeof each === "string")) wrong.push("managers");
  if (record.dataPath !== undefined && typeof record.dataPath !== "string") wrong.push("dataPath");
  const { ownHosts = [] } = record;
  if (!Array.isArray(ownHosts) || !ownHosts.every((each) => typeof each === "string")) wrong.push("ownHosts");
  if (!["active", "pause", "drain"].includes(availability as string)) wrong.push("availability");
  if (wrong.length > 0) throw new Error(`missing or wrong: ${wrong.join(", ")}`);
}

/** Reads and writes the membership in one state folder. */
export class MembershipFile {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The membership, or undefined on an empty state folder. Throws `data_loss` on a damaged file. */
  async load(): Promise<NodeMembership | undefined> {
    const data = await systemFileSystem.readFile(`${this.#folder}/node.json`);
    if (data === undefined) return undefined;
    try {
      const content: unknown = JSON.parse(new TextDecoder().decode(data));
      if (!isObject(content)) throw new Error("it holds no object");
      const { format, ...membership } = content;
      if (format !== FORMAT) throw new Error(`its format is ${format}, this program reads ${FORMAT}`);
      checkMembership(membership);
      return membership;
    } catch (cause) {
      throw new CoveyError(
        "data_loss",
        `Cannot read ${this.#folder}/node.json: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  /** Throws `failed_precondition` if a cluster's state is here although no membership is: it must not be overwritten. */
  async checkVacant(): Promise<void> {
    if (await systemFileSystem.readFile(`${this.#folder}/raft/state.kv`) === undefined) return;
    throw new CoveyError(
      "failed_precondition",
      `Cannot use ${this.#folder}: it holds a cluster's state, but node.json is missing; bring it back, or empty the folder`,
    );
  }

  async save(membership: NodeMembership): Promise<void> {
    const text = new TextEncoder().encode(`${JSON.stringify({ format: FORMAT, ...membership }, null, 2)}\n`);
    await writeFileAtomically(systemFileSystem, this.#folder, "node.json", text, 0o600);
  }

  /** Forgets the replicated state, which a worker has no part in. */
  async wipeRaft(): Promise<void> {
    const { plain, sealing } = sealingFolders("raft");
    for (const name of ["raft", plain, sealing]) await this.#remove(name);
  }

  /** Forgets the cluster: what a left node kept must not let it come back. */
  async wipe(): Promise<void> {
    await systemFileSystem.removeFile(`${this.#folder}/node.json`);
    await this.#remove("certificates");
    await this.wipeRaft();
    await this.#remove("agent");
  }

  async #remove(name: string): Promise<void> {
    await Deno.remove(`${this.#folder}/${name}`, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}
