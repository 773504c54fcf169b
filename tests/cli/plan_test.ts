/** `covey plan` and `covey service update --plan`: what they show, and how they end. */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import { runCovey } from "../../cli/program.ts";
import type { ServicePlanView } from "../../cli/service_plan.ts";

const SPEC = {
  Name: "web",
  Labels: {},
  TaskTemplate: { Runtime: "process", ForceUpdate: 0, ProcessSpec: { Command: "run", Args: ["v1"] } },
  Mode: { Replicated: { Replicas: 3 } },
} satisfies ServiceSpec;
const NEXT = {
  ...SPEC,
  TaskTemplate: { ...SPEC.TaskTemplate, ProcessSpec: { Command: "run", Args: ["v2"] } },
};
const NOTHING: ServicePlanView = {
  Service: { ID: "s1", Name: "web" },
  Before: SPEC,
  After: SPEC,
  Counts: { start: 0, replace: 0, reload: 0, end: 0, keep: 3 },
  Places: [],
  Parallelism: 1,
  Stages: [],
  Ineligible: { Count: 0, Nodes: [] },
};

/** Runs `args` against a manager that plans `plan`. */
async function covey(args: string[], plan: ServicePlanView) {
  const folder = await Deno.makeTempDir(), path = `${folder}/covey.sock`;
  const asked: string[] = [];
  let sent: unknown;
  const server = Deno.serve({ path, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(`${request.method} ${pathname.replace("/v1.51", "")}`);
    if (request.method === "POST") sent = await request.json();
    return Response.json(
      pathname.endsWith("/plan") ? plan : { ID: "s1", Version: { Index: 7 }, Spec: SPEC },
    );
  });
  await Deno.writeTextFile(`${folder}/spec.json`, JSON.stringify(NEXT));
  await Deno.writeTextFile(`${folder}/broken.json`, "{");
  let shown = "", noted = "";
  const code = await runCovey(
    ["-H", `unix://${path}`, ...args.map((each) => each.replace("DIR", folder))],
    {
      output: {
        write: (text) => void (shown += text),
        note: (text) => void (noted += text),
        nowMs: () => 0,
        interactive: false,
      },
      env: () => undefined,
      signal: new AbortController().signal,
    },
  );
  await server.shutdown();
  await Deno.remove(folder, { recursive: true });
  return { code, shown, noted, asked, sent };
}

Deno.test("covey plan: shows what differs, what becomes of each task, and which devices could run none; ends with 2", async () => {
  const plan: ServicePlanView = {
    ...NOTHING,
    After: NEXT,
    Stages: [{ Percent: 10 }, { Percent: 100 }],
    Counts: { start: 1, replace: 2, reload: 0, end: 0, keep: 0 },
    Places: [
      { Place: "1", Change: "replace", NodeID: "n1", Hostname: "pi-1" },
      { Place: "2", Change: "replace", NodeID: "n2", Hostname: "pi-2", Waits: "the node is paused" },
      { Place: "3", Change: "start" },
    ],
    Ineligible: {
      Count: 1,
      Nodes: [{
        NodeID: "n9",
        Hostname: "pi-9",
        Reason: "lacks a plugin of its engine for a volume or the log",
      }],
    },
  };
  const { code, shown, sent, asked } = await covey(["plan", "-f", "DIR/spec.json"], plan);
  assert.equal(
    shown,
    `~ service web
    TaskTemplate.ProcessSpec.Args: ["v1"] -> ["v2"]
2 tasks are replaced, in 2 stages, 1 at a time:
    web.1 on pi-1
    web.2 on pi-2, later: the node is paused
1 task is started:
    web.3
0 tasks go on as they are
1 device cannot run it:
    pi-9 lacks a plugin of its engine for a volume or the log
`,
  );
  assert.deepEqual([code, sent, asked], [2, NEXT, ["POST /services/plan"]]);
});

Deno.test("covey plan: nothing to change ends with 0; a new service changes something", async () => {
  const nothing = await covey(["plan", "-f", "DIR/spec.json"], NOTHING);
  assert.deepEqual([nothing.code, nothing.shown], [
    0,
    "Nothing to change in web: 3 tasks are as the spec says\n",
  ]);
  const { Before: _, ...fresh } = { ...NOTHING, Service: { Name: "web" } };
  const made = await covey(["plan", "-f", "DIR/spec.json"], fresh);
  assert.deepEqual([made.code, made.shown.split("\n")[0]], [2, "+ service web"]);
});

Deno.test("covey service update --plan: changes nothing, and shows what its flags would", async () => {
  const { code, asked, sent } = await covey(["service", "update", "--plan", "--label-add", "a=b", "web"], {
    ...NOTHING,
    After: { ...SPEC, Labels: { a: "b" } },
  });
  assert.equal(code, 2);
  assert.deepEqual(asked, ["GET /services/web", "POST /services/plan"]);
  assert.deepEqual((sent as ServiceSpec).Labels, { a: "b" });
});

Deno.test("covey plan: as JSON; a file that is none is refused as wrong usage", async () => {
  const { shown } = await covey(["plan", "--format", "json", "-f", "DIR/spec.json"], NOTHING);
  assert.deepEqual(JSON.parse(shown), NOTHING);
  const broken = await covey(["plan", "-f", "DIR/broken.json"], NOTHING);
  assert.equal(broken.code, 2);
  assert.match(broken.noted, /Cannot read the spec in .*broken\.json/);
});
