/** What `covey explain` shows. */
import assert from "node:assert/strict";
import { runCovey } from "../../cli/program.ts";

const META = { Version: { Index: 1 }, CreatedAt: "", UpdatedAt: "" };
const NODES = ["pi-1", "pi-2", "pi-3"].map((Hostname, i) => ({
  ...META,
  ID: `n${i + 1}`,
  Status: { State: "ready" },
  Description: { Hostname },
}));
const EXPLANATION = {
  ID: "s1",
  Name: "probe",
  Summary: "1 of 2 devices run the present version",
  Counts: { offline: 1, running: 1 },
  Places: [
    {
      Service: { Name: "probe" },
      Place: "n2",
      NodeID: "n2",
      Standing: "offline",
      Reason: "the node is \u001b[31mdown",
    },
    { Service: { Name: "probe" }, Place: "7", NodeID: "n1", Standing: "running", Reason: "runs" },
    { Service: { Name: "probe" }, Place: "8", Standing: "pending", Reason: "no node" },
  ],
  Refusals: [{ NodeID: "n3", Reason: "the node does not meet a==b" }],
};

async function covey(...args: string[]) {
  const folder = await Deno.makeTempDir(), path = `${folder}/covey.sock`;
  const asked: string[] = [];
  const server = Deno.serve({ path, onListen() {} }, ({ url }) => {
    const pathname = new URL(url).pathname.replace(/^\/v[0-9.]+/, "");
    asked.push(pathname);
    if (pathname.endsWith("/explain")) return Response.json(EXPLANATION);
    const id = pathname.split("/")[2];
    return Response.json(
      id === undefined ? NODES : NODES.find(({ Description }) => Description.Hostname === id),
    );
  });
  let shown = "", noted = "";
  const code = await runCovey(["-H", `unix://${path}`, ...args], {
    output: {
      write: (text) => shown += text,
      note: (text) => noted += text,
      interactive: false,
      nowMs: () => 0,
    },
    env: () => undefined,
    signal: new AbortController().signal,
  });
  await server.shutdown();
  await Deno.remove(folder, { recursive: true });
  return { code, shown, noted, asked };
}

/** Columns by single spaces. */
const narrow = (text: string) => text.replace(/ +/g, " ");

Deno.test("covey explain service: places and refusals by host name, without control characters", async () => {
  const { code, shown, asked } = await covey("explain", "service", "probe");
  assert.deepEqual([code, asked[0]], [0, "/services/probe/explain"]);
  assert.ok(!shown.includes("\u001b"));
  const [summary, header, two, seven, eight, refusals, three] = narrow(shown).split("\n");
  assert.equal(summary, "probe: 1 of 2 devices run the present version (1 offline, 1 running)");
  assert.equal(header, "PLACE NODE STANDING WHY");
  assert.match(two!, /^pi-2 pi-2 offline the node is .*down$/);
  assert.deepEqual([seven, eight], ["7 pi-1 running runs", "8 pending no node"]);
  assert.deepEqual([refusals, three], ["NODE WHY IT TAKES NONE", "pi-3 the node does not meet a==b"]);
});

Deno.test("covey explain service --node: only what concerns it", async () => {
  const { shown } = await covey("explain", "service", "probe", "--node", "pi-3");
  assert.deepEqual(narrow(shown).split("\n").slice(1), [
    "NODE WHY IT TAKES NONE",
    "pi-3 the node does not meet a==b",
    "",
  ]);
});

Deno.test("covey explain node, and task: asks for it, and shows services by name", async () => {
  const node = await covey("explain", "node", "pi-2");
  assert.equal(node.asked[0], "/nodes/pi-2/explain");
  assert.match(narrow(node.shown), /SERVICE STANDING WHY\nprobe offline/);
  assert.equal((await covey("explain", "task", "probe.7.x")).asked[0], "/tasks/probe.7.x/explain");
  const json = await covey("explain", "task", "t", "--format", "json");
  assert.equal(JSON.parse(json.shown)[0].Name, "probe");
});
