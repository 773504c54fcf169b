import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { ADMINISTRATOR, type Caller } from "../../../manager/control/caller.ts";
import { MAX_PENDING_BODY_BYTES } from "../../../manager/forward/control_forwarder.ts";
import { CONTROL_METHOD, MAX_FORWARDED_BODY_BYTES } from "../../../manager/forward/control_messages.ts";
import { LEADER_WAIT_MS } from "../../../manager/forward/leader_link.ts";
import { settle } from "../../support/fake_clock.ts";
import { identityOf, until } from "../../support/transport.ts";
import { processBody, request } from "../http/fake_node.ts";
import { withQuorum } from "./quorum.ts";

const NO_LEADER = "rpc error: code = Unknown desc = The swarm does not have a leader. " +
  "It's possible that too few managers are online. Make sure more than half of the managers are online.";

Deno.test("Control API: reads and writes through a follower are the leader's", async () => {
  await withQuorum(async ({ managers: { m1, m2, m3 } }) => {
    const created = await m2!.call("POST", "/v1.41/services/create", processBody("web"));
    assert.equal(created.status, 201);
    const path = `/services/${created.json.ID}`;
    for (const url of ["/nodes", "/services?status=true", path, "/swarm", "/tasks", "/v1.41/secrets"]) {
      const answers = await Promise.all([m1, m2, m3].map((manager) => manager!.call("GET", url)));
      assert.equal(answers[0]!.status, 200, url);
      assert.deepEqual(answers[1], answers[0], url);
      assert.deepEqual(answers[2], answers[0], url);
    }
    const { json } = await m3!.call("GET", path);
    const stale = await m3!.call("POST", `${path}/update?version=${json.Version.Index - 1}`, json.Spec);
    assert.deepEqual(
      [stale.status, stale.json.message],
      [500, "rpc error: code = Unknown desc = update out of sequence"],
    );
    assert.equal((await m3!.call("GET", "/services/none")).status, 404);
    assert.equal((await m3!.call("DELETE", path)).status, 200);
    assert.equal((await m1!.call("GET", path)).status, 404);
  });
});

Deno.test("Control API: the swarm's networks are the leader's too, on whatever manager they are asked for", async () => {
  await withQuorum(async ({ managers: { m1, m2, m3 } }) => {
    const created = await m2!.call("POST", "/networks/create", { Name: "shop", Driver: "overlay" });
    assert.equal(created.status, 201, created.json.message);
    const id = created.json.Id;
    for (const url of ["/networks", "/networks/shop", `/networks/${id}`, "/covey/networks"]) {
      const answers = await Promise.all([m1, m2, m3].map((manager) => manager!.call("GET", url)));
      assert.equal(answers[0]!.status, 200, url);
      for (const answer of answers) assert.deepEqual(answer, answers[0], url);
    }
    const again = await m3!.call("POST", "/networks/create", { Name: "shop", Driver: "overlay" });
    assert.deepEqual([again.status, again.json.message], [409, "network with name shop already exists"]);
    const wrong = await m3!.call("POST", "/networks/create", {
      Name: "x",
      Driver: "overlay",
      EnableIPv6: true,
    });
    assert.deepEqual([wrong.status, /EnableIPv6/.test(wrong.json.message)], [400, true]);
    assert.equal((await m3!.call("DELETE", "/networks/shop")).status, 204);
    assert.equal((await m1!.call("GET", "/networks/shop")).status, 404);
    assert.deepEqual((await m2!.call("POST", "/networks/prune")).json, { NetworksDeleted: null });
  });
});

Deno.test("Control API: headers and error texts come through as they are, HEAD and conditional views included", async () => {
  await withQuorum(async ({ managers: { m1, m2 } }) => {
    await m1!.call("POST", "/services/create", processBody("web"));
    const ask = (manager: typeof m1, agent: string) =>
      request(manager!.api, "/services", { headers: { "User-Agent": agent, Connection: "close" } });
    for (const agent of ["Docker-Client/20.10", "curl/8"]) {
      const [own, through] = await Promise.all([ask(m1, agent), ask(m2, agent)]);
      assert.equal(await through.text(), await own.text());
      assert.deepEqual([...through.headers], [...own.headers]);
    }
    const head = await request(m2!.api, "/nodes", { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });
});

Deno.test("Control API: who asks comes with the request, and is asked for the right at the manager that answers", async () => {
  await withQuorum(async ({ managers: { m1, m2 } }) => {
    const status = async (path: string, Rights: Caller["Rights"], method = "GET", body?: unknown) => {
      const init = { method, ...(body !== undefined && { body: JSON.stringify(body) }) };
      const answers = [m1, m2].map(async (manager) => {
        const asked = new Request(`http://docker${path}`, init);
        const { status } = await manager!.api.fetch(asked, { Name: "somebody", Rights });
        return status;
      });
      const [own, through] = await Promise.all(answers);
      assert.equal(own, through, path);
      return own;
    };
    assert.equal(await status("/nodes", ["view"]), 200);
    assert.equal(await status("/nodes", []), 403);
    assert.equal(await status("/swarm", ["view", "operate"]), 403);
    assert.equal(await status("/swarm", ["administer"]), 200);
    assert.equal(await status("/services/none", ["view"], "DELETE"), 403);
    assert.equal(await status("/services/none", ["operate"], "DELETE"), 404);
    assert.equal(await status("/nodes/none", ["view", "operate"], "DELETE"), 403);
    assert.equal(await status("/networks", ["view"]), 200);
    assert.equal(await status("/covey/networks", []), 403);
    assert.equal(await status("/covey/networks/none", ["view"], "DELETE"), 403);
    assert.equal(await status("/covey/networks/none", ["operate"], "DELETE"), 404);
    assert.equal(await status("/networks/none", ["operate"], "DELETE"), 403, "it may be an engine's");
    assert.equal(await status("/covey/backup", ["view", "operate"]), 403);
  });
});

Deno.test("Control API: the leader asks for the right itself, whatever the follower let through", async () => {
  await withQuorum(async ({ dial }) => {
    const connection = await dial("m1", identityOf("m2", "swarm-manager"));
    const ask = async (Caller: unknown) => {
      const message = { Method: "GET", Path: "/nodes", Headers: [], Body: new Uint8Array(), Caller };
      for await (const head of connection.serverStream(CONTROL_METHOD, message)) return head;
    };
    const { Status } = await ask({ Name: "x", Rights: [] }) as { Status: number };
    assert.equal(Status, 403);
    assert.equal((await ask({ Name: "x", Rights: ["view"] }) as { Status: number }).Status, 200);
    for (
      const wrong of [undefined, null, {}, { Name: "x" }, { Name: 5, Rights: [] }, {
        Name: "x",
        Rights: ["all"],
      }]
    ) {
      await assert.rejects(ask(wrong), { code: "invalid_argument" });
    }
  });
});

Deno.test("Control API: a whole spec in the query goes to the leader as well", async () => {
  await withQuorum(async ({ managers: { m2 } }) => {
    const query = "%7B".repeat(80_000);
    assert.equal((await m2!.call("POST", `/services/create?spec=${query}`, processBody("web"))).status, 201);
  });
});

Deno.test("Control API: what is about the node itself stays on the node", async () => {
  await withQuorum(async ({ managers: { m2 }, group, network }) => {
    network.setLink("m1", "m2", "cut");
    group.elect(undefined, ["m2"]);
    for (const path of ["/_ping", "/version", "/info"]) {
      assert.equal((await request(m2!.api, path)).status, 200, path);
    }
    assert.equal((await m2!.call("GET", "/info")).json.Swarm.NodeID, "m2");
    assert.match((await m2!.call("POST", "/swarm/unlock", {})).json.message, /not locked/);
    assert.match((await m2!.call("POST", "/swarm/init", {})).json.message, /already part of a swarm/);
  });
});

Deno.test("Control API: events come on a follower too, leader changes included", async () => {
  await withQuorum(async ({ managers: { m1, m2, m3 }, group }) => {
    const response = await request(m3!.api, "/events");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const event = async () => {
      const { Type, Action, Actor } = JSON.parse((await reader.read()).value!);
      return `${Type} ${Action} ${Actor.Attributes.name}`;
    };
    await m1!.call("POST", "/services/create", processBody("one"));
    assert.equal(await event(), "service create one");
    group.elect("m2");
    await m1!.call("POST", "/services/create", processBody("two"));
    for (let seen = ""; seen !== "service create two";) seen = await event();
    assert.equal((await m2!.call("GET", "/services")).json.length, 2);
    await reader.cancel();
  });
});

Deno.test("Control API: a long list comes through in pieces", async () => {
  await withQuorum(async ({ managers: { m1, m2 } }) => {
    const Labels = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`label${i}`, "é".repeat(100)]));
    for (let i = 0; i < 8; i++) {
      await m1!.call("POST", "/services/create", { ...processBody(`s${i}`), Labels });
    }
    const [own, through] = await Promise.all([m1!.call("GET", "/services"), m2!.call("GET", "/services")]);
    assert.ok(JSON.stringify(own.json).length > 400_000);
    assert.deepEqual(through, own);
  });
});

Deno.test("Control API: during an election a request waits, and the new leader answers it", async () => {
  await withQuorum(async ({ clock, managers: { m2, m3 }, group }) => {
    group.elect(undefined);
    const [write, read] = [
      m2!.call("POST", "/services/create", processBody("web")),
      m3!.call("GET", "/services"),
    ];
    await clock.advance(1_200);
    group.elect("m3");
    assert.equal((await write).status, 201);
    assert.equal((await read).status, 200);
    assert.equal(m2!.store.count("services"), 1);
  });
});

Deno.test("Control API: without a leader the answer is Docker's, after the limit", async () => {
  await withQuorum(async ({ clock, managers: { m2 }, group }) => {
    group.elect(undefined);
    const asked = m2!.call("GET", "/nodes");
    await clock.advance(LEADER_WAIT_MS);
    assert.deepEqual(await asked, { status: 503, json: { message: NO_LEADER, reason: "no_leader" } });
  });
});

Deno.test("Control API: a write whose outcome is unknown says so, and is made once", async () => {
  await withQuorum(async ({ clock, managers: { m2, m3 }, group, network }) => {
    const held = Promise.withResolvers<void>();
    group.beforeCommit = () => held.promise;
    const asked = m2!.call("POST", "/services/create", processBody("web"));
    await settle(20);
    network.setLink("m1", "m2", "cut");
    const { status, json } = await asked;
    assert.equal(status, 500);
    assert.match(json.message, /^rpc error: code = Unknown desc = Cannot tell whether the leader did it/);
    held.resolve();
    group.elect("m3");
    await clock.advance(5_000);
    assert.equal(m3!.store.count("services"), 1);
  });
});

Deno.test("Control API: a request goes to one manager only; the sender looks for the leader again", async () => {
  await withQuorum(async ({ clock, managers: { m1, m2, m3 }, group }) => {
    // m3 still takes m2 for the leader, which knows better and does not pass the request on.
    group.elect("m2");
    await m3!.call("GET", "/nodes");
    group.elect("m1", ["m1", "m2"]);
    const asked = m3!.call("POST", "/services/create", processBody("web"));
    await clock.advance(500);
    assert.deepEqual([m1!.listener.connections, m2!.store.count("services")], [0, 0]);
    group.elect("m1");
    assert.equal((await asked).status, 201);
    assert.equal(m2!.store.count("services"), 1);
    group.elect("m2", ["m3"]);
    const failing = m3!.call("GET", "/nodes");
    await clock.advance(LEADER_WAIT_MS);
    const { status, json } = await failing;
    assert.equal(status, 503);
    assert.match(json.message, /Cannot reach the leader m2 .* not the leader$/);
  });
});

Deno.test("Control API: what was handed on goes no further, even if that manager has just lost the lead", async () => {
  await withQuorum(async ({ managers: { m1, m2 } }) => {
    const answer = m2!.api.answer(
      new Request("http://docker/services/create", {
        method: "POST",
        body: JSON.stringify(processBody("web")),
      }),
      ADMINISTRATOR,
    );
    // Whoever handed it on looks for the leader.
    await assert.rejects(answer, { code: "unavailable", message: /not the leader$/ });
    assert.equal(m1!.listener.connections, 0);
  });
});

Deno.test("Control API: bodies are bounded one by one and together", async () => {
  await withQuorum(async ({ clock, managers: { m2 }, group }) => {
    const post = (bytes: number) =>
      request(m2!.api, "/services/create", { method: "POST", body: new Uint8Array(bytes).fill(32) });
    const large = await post(MAX_FORWARDED_BODY_BYTES + 1);
    assert.equal(large.status, 413);
    const fits = await post(MAX_FORWARDED_BODY_BYTES);
    assert.equal(fits.status, 400);
    await Promise.all([large.body?.cancel(), fits.body?.cancel()]);
    group.elect(undefined);
    const count = Math.floor(MAX_PENDING_BODY_BYTES / MAX_FORWARDED_BODY_BYTES);
    const waiting = Array.from({ length: count }, () => post(MAX_FORWARDED_BODY_BYTES));
    await settle();
    const refused = await post(MAX_FORWARDED_BODY_BYTES);
    assert.equal(refused.status, 503);
    assert.match((await refused.json()).message, /are being handed on already$/);
    await clock.advance(LEADER_WAIT_MS);
    for (const response of await Promise.all(waiting)) await response.text();
    group.elect("m1");
    assert.equal((await m2!.call("GET", "/nodes")).status, 200);
  });
});

Deno.test("Control API: only managers hand requests on, in nobody else's name", async () => {
  await withQuorum(async ({ dial }) => {
    const request = {
      Method: "GET",
      Path: "/swarm",
      Headers: [],
      Body: new Uint8Array(),
      Caller: ADMINISTRATOR,
    };
    const ask = async (
      identity: ReturnType<typeof identityOf> | undefined,
      forwardedFor?: ReturnType<typeof identityOf>,
    ) => {
      const items = (await dial("m1", identity)).serverStream<{ Status: number }>(
        CONTROL_METHOD,
        request,
        forwardedFor ? { forwardedFor } : {},
      );
      try {
        for await (const { Status } of items) return Status;
      } catch (error) {
        return (error as CoveyError).code;
      }
    };
    const manager = identityOf("m3", "swarm-manager");
    assert.equal(await ask(manager), 200);
    assert.equal(await ask(undefined), "unauthenticated");
    assert.equal(await ask(identityOf("w1")), "permission_denied");
    assert.equal(await ask(identityOf("w1"), manager), "permission_denied");
    assert.equal(await ask(manager, identityOf("w1")), "permission_denied");
  });
});

Deno.test("Control API: a list that breaks off is an error, never a short list", async () => {
  await withQuorum(async ({ managers: { m1, m2 }, network }) => {
    const Labels = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`label${i}`, "x".repeat(2000)]));
    for (const name of ["a", "b", "c", "d", "e"]) {
      await m1!.call("POST", "/services/create", { ...processBody(name), Labels });
    }
    const response = await request(m2!.api, "/services");
    const reader = response.body!.getReader();
    await reader.read();
    network.setLink("m1", "m2", "cut");
    await assert.rejects(async () => {
      while (!(await reader.read()).done);
    }, { code: "unavailable" });
    await until(() => m1!.listener.connections === 0);
  });
});
