/**
 * One member of a quorum as a process, without anything on top: `member.ts SETTINGS.json`. Takes proposals over HTTP on
 * loopback, as etcd does (`POST /put`), and drives proposals from within (`POST /drive?clients=N&ms=M`).
 */
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import type {
  DirtyRecord,
  StateImage,
  StateMachine,
  StateRecord,
} from "../../manager/consensus/state_machine.ts";
import { RaftMember } from "../../manager/consensus/member/mod.ts";
import { type NodeIdentity, verifyPeerChain } from "../../security/mod.ts";
import { createRouter, listenTLS, tlsDialer } from "../../transport/mod.ts";
import { closedLoop } from "./load.ts";
import { servePuts } from "./put_server.ts";

/** What a member's process is told. */
export interface MemberSettings {
  identity: NodeIdentity;
  /** Folder of the log. */
  folder: string;
  /** HOST:PORT of the member. */
  address: string;
  /** Members to join through; empty: start the cluster. */
  join: string[];
  httpPort: number;
  entryBytes: number;
}

/** Values by key, where the first four bytes of an entry are the key. */
class Values implements StateMachine {
  #values = new Map<string, Uint8Array>();
  #dirty = new Set<string>();

  apply(_index: number, entry: Uint8Array): void {
    const key = `v${new DataView(entry.buffer, entry.byteOffset).getUint32(0)}`;
    this.#values.set(key, entry);
    this.#dirty.add(key);
  }

  unreadable(): undefined {}

  image(): StateImage {
    const values = new Map<string, Uint8Array>();
    return {
      add: ({ key, value }) => void (value ? values.set(key, value.slice()) : values.delete(key)),
      adopt: () => {
        this.#values = values;
        this.#dirty.clear();
      },
    };
  }

  *records(): Iterable<StateRecord> {
    for (const [key, value] of this.#values) yield { key, value };
  }

  takeDirty(): Iterable<DirtyRecord> {
    const dirty = [...this.#dirty].map((key) => ({ key, value: this.#values.get(key) }));
    this.#dirty.clear();
    return dirty;
  }
}

/** Keys written in turn. */
const KEYS = 1000;

const settings = JSON.parse(await Deno.readTextFile(Deno.args[0]!)) as MemberSettings;
const { identity, address, entryBytes } = settings;
const trusted = {
  clock: systemClock,
  identity: () => ({
    certificatePEM: identity.certificateChainPEM,
    privateKeyPEM: identity.privateKeyPEM,
  }),
  verifyPeer: (chain: string | undefined) =>
    chain === undefined ? undefined : verifyPeerChain(chain, {
      roots: [identity.rootCAPEM],
      now: systemClock.now(),
      clusterID: identity.clusterID,
    }),
};
const member = await RaftMember.open(`${settings.folder}/state.kv`, {
  nodeID: identity.nodeID,
  address,
  clock: systemClock,
  random: systemRandom,
  dialer: tlsDialer(trusted),
  ...(settings.join.length > 0 && { join: true }),
});
await member.start(new Values());
const router = createRouter();
for (const [name, method] of Object.entries(member.methods())) router.register(name, method);
await listenTLS({ ...trusted, listen: address, router });
if (settings.join.length > 0) await member.join(settings.join);

const propose = (nth: number) => {
  const entry = new Uint8Array(entryBytes);
  new DataView(entry.buffer).setUint32(0, nth % KEYS);
  return member.propose(entry);
};

await servePuts(settings.httpPort, (target, body) => {
  if (target === "/put") return member.propose(body);
  const { pathname, searchParams } = new URL(target, "http://localhost");
  if (pathname !== "/drive") return member.status();
  return closedLoop(Number(searchParams.get("clients")), Number(searchParams.get("ms")), propose);
});
