import { fileURLToPath } from "node:url";
import { systemClock } from "../../api/clock.ts";
import { newID, systemRandom } from "../../api/random.ts";
import {
  assembleIdentity,
  createPrivateKeyPEM,
  createRootCA,
  issueNodeCertificate,
  publicKeyOf,
} from "../../security/mod.ts";
import type { LoadFigures } from "./load.ts";
import type { MemberSettings } from "./member.ts";

const PROGRAM = fileURLToPath(new URL("./member.ts", import.meta.url));
const START_LIMIT_MS = 30_000;
const CERTIFICATE_MS = 24 * 3_600_000;

/** Bare members as processes; the first one leads. */
export class BareQuorum {
  readonly #children: Deno.ChildProcess[] = [];
  readonly #urls: string[] = [];

  /** Starts `count` of them in `folder`. */
  async start(folder: string, entryBytes: number, count = 3): Promise<void> {
    const context = { clock: systemClock, random: systemRandom };
    const root = await createRootCA(context);
    const clusterID = newID(systemRandom);
    const addresses: string[] = [];
    for (let index = 0; index < count; index++) {
      const privateKeyPEM = await createPrivateKeyPEM();
      const certificateChainPEM = await issueNodeCertificate(root, {
        publicKey: publicKeyOf(privateKeyPEM),
        nodeID: newID(systemRandom),
        clusterID,
        role: "swarm-manager",
        expiryMs: CERTIFICATE_MS,
      }, context);
      const httpPort = freePort();
      addresses.push(`127.0.0.1:${freePort()}`);
      await this.#spawn(`${folder}/member-${index}`, {
        identity: assembleIdentity({ rootCAPEM: root.certificatePEM, certificateChainPEM, privateKeyPEM }),
        folder: `${folder}/member-${index}`,
        address: addresses[index]!,
        join: addresses.slice(0, index),
        httpPort,
        entryBytes,
      });
    }
  }

  /** Process IDs, the leader's first. */
  get pids(): number[] {
    return this.#children.map(({ pid }) => pid);
  }

  /** Where the leader takes entries. */
  get putURL(): string {
    return `${this.#urls[0]}/put`;
  }

  /** Proposals of `clients` callers inside the leader's process. */
  async drive(clients: number, durationMs: number): Promise<LoadFigures> {
    const url = `${this.#urls[0]}/drive?clients=${clients}&ms=${durationMs}`;
    const response = await fetch(url, { method: "POST" });
    if (!response.ok) throw new Error(`Cannot drive proposals: ${await response.text()}`);
    return await response.json();
  }

  /** Ends the processes. */
  async stop(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all(this.#children.map((child) => child.status));
  }

  async #spawn(folder: string, settings: MemberSettings): Promise<void> {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/settings.json`, JSON.stringify(settings));
    this.#children.push(
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--unstable-kv", PROGRAM, `${folder}/settings.json`],
        stdin: "null",
      }).spawn(),
    );
    const url = `http://127.0.0.1:${settings.httpPort}`;
    this.#urls.push(url);
    const limit = performance.now() + START_LIMIT_MS;
    while (!await fetch(url).then((response) => response.text()).catch(() => undefined)) {
      if (performance.now() > limit) throw new Error(`Cannot start the member in ${folder}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
