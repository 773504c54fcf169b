/** A device that reaches its manager where the manager does not know that it is. */
import assert from "node:assert/strict";
import { inFolder, start } from "../support/programs.ts";
import { RealManager } from "./support/real_manager.ts";

/** Forwards a port of its own to `target`, HOST:PORT; `cut` ends what it has forwarded so far. */
class Forwarder {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #done: Promise<void>;
  forwarded = 0;

  constructor(target: string) {
    this.#done = this.#serve(target.split(":"));
  }

  get address(): string {
    return `127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  cut(): void {
    for (const connection of this.#open) {
      try {
        connection.close();
      } catch {
        // It has ended.
      }
    }
    this.#open.clear();
  }

  async close(): Promise<void> {
    this.#listener.close();
    await this.#done;
    this.cut();
  }

  async #serve([hostname, port]: string[]): Promise<void> {
    for await (const near of this.#listener) {
      this.forwarded++;
      const far = await Deno.connect({ hostname: hostname!, port: Number(port) });
      this.#open.add(near).add(far);
      near.readable.pipeTo(far.writable).catch(() => {});
      far.readable.pipeTo(near.writable).catch(() => {});
    }
  }
}

Deno.test("Agent process: behind a port forwarding it comes back through the address given, at the next start without it too", () =>
  inFolder(async (folder) => {
    const manager = await RealManager.start("127.0.0.2:1");
    const forwarder = new Forwarder(manager.address);
    const flags = ["--state-dir", `${folder}/a`];
    let agent = start("agent", ...flags, "--join", forwarder.address, "--token", manager.token);
    try {
      const nodeID = await manager.readyNode();
      // Ready again only by a session that is opened anew.
      const forget = () =>
        manager.store.update((tx) => {
          const node = tx.get("nodes", nodeID)!;
          tx.update("nodes", { ...node, Status: { ...node.Status, State: "unknown" } });
        });
      const forwarded = forwarder.forwarded;
      await forget();
      forwarder.cut();
      await manager.readyNode();
      assert.ok(forwarder.forwarded > forwarded);
      await agent.end();
      await forget();
      agent = start("agent", ...flags);
      await agent.says(/is connected/);
      assert.equal(await manager.readyNode(), nodeID);
    } finally {
      await agent.end();
      await forwarder.close();
      await manager.stop();
    }
  }));
