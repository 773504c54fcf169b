/** How `covey` tells of rollouts: what it shows, and how it ends. */
import assert from "node:assert/strict";
import type { RolloutState } from "../../api/rollout.ts";
import type { UpdateStatus } from "../../api/service.ts";
import { runCovey } from "../../cli/program.ts";

const META = { Version: { Index: 1 }, CreatedAt: "2026-01-01T00:00:00Z", UpdatedAt: "2026-01-01T00:00:00Z" };
const TEMPLATE = { Runtime: "process", ForceUpdate: 0, ProcessSpec: { Command: "run" } };

function rollout(State: RolloutState) {
  return {
    Number: 1,
    SpecVersion: 1,
    State,
    Stage: 0,
    StageStartedAt: "",
    Total: 10,
    Done: 1,
    Failed: 1,
    Failures: [{ Place: "n2", Stage: 0 }],
    Deferred: 1,
    Returned: { Total: 0, Failed: 0 },
  };
}

/** A manager whose service's update is as `status` says. Resolves with what `args` make of it. */
async function covey(args: string[], status: UpdateStatus | undefined) {
  const folder = await Deno.makeTempDir(), path = `${folder}/covey.sock`;
  const service = {
    ...META,
    ID: "s1",
    Spec: { Name: "probe", Labels: {}, TaskTemplate: TEMPLATE, Mode: { Global: {} } },
    UpdateStatus: status,
  };
  const posted: string[] = [];
  const server = Deno.serve({ path, onListen() {} }, ({ method, url }) => {
    const { pathname } = new URL(url);
    if (method === "POST") posted.push(pathname);
    if (pathname.endsWith("/rollout")) {
      return Response.json({
        ...status?.Rollout,
        Service: { ID: "s1", Name: "probe" },
        UpdateState: status?.State,
        Message: status?.Message,
        Stages: [{ Percent: 10, Promotion: "manual" }, { Percent: 100 }],
        DeferredPlaces: [{ Place: "n3", Reason: "its node is not reachable" }],
      });
    }
    if (pathname.endsWith("/nodes")) {
      return Response.json([{
        ...META,
        ID: "n3",
        Status: { State: "down" },
        Description: { Hostname: "pi-3" },
      }]);
    }
    return Response.json(pathname.endsWith("/tasks") ? [] : method === "POST" ? {} : service);
  });
  let shown = "", noted = "", nowMs = 0;
  const code = await runCovey(["-H", `unix://${path}`, ...args], {
    env: () => undefined,
    signal: new AbortController().signal,
    output: {
      write: (text) => void (shown += text),
      note: (text) => void (noted += text),
      interactive: false,
      nowMs: () => nowMs += 2000,
    },
  });
  await server.shutdown();
  await Deno.remove(folder, { recursive: true });
  return { code, shown, noted, posted };
}

Deno.test("covey service update: each end has its own words and its own exit code", async () => {
  const cases: [UpdateStatus | undefined, number, RegExp][] = [
    [{ State: "completed", Message: "update completed" }, 0, /Service converged\n$/],
    [undefined, 0, /Service converged\n$/],
    [{ State: "rollback_completed", Message: "m" }, 4, /covey: service update rolled back: m\n$/],
    [{ State: "paused", Message: "m" }, 5, /covey: service update paused: m\n$/],
    [{ State: "rollback_paused", Message: "m" }, 5, /covey: service update paused: m\n$/],
    [
      { State: "updating", Message: "m", Rollout: rollout("awaiting_promotion") },
      6,
      /covey: service update awaiting promotion: m\n$/,
    ],
    [
      { State: "paused", Message: "m", Rollout: rollout("timed_out") },
      7,
      /covey: service update timed out: m\n$/,
    ],
    [
      { State: "paused", Message: "m", Rollout: rollout("aborted") },
      8,
      /covey: service update aborted: m\n$/,
    ],
  ];
  for (const [status, code, words] of cases) {
    const ended = await covey(["service", "update", "--force", "probe"], status);
    assert.equal(ended.code, code);
    assert.match(ended.noted, words);
  }
});

Deno.test("covey service rollback: what was asked for is done", async () => {
  const { code, noted } = await covey(["service", "rollback", "probe"], {
    State: "rollback_completed",
    Message: "m",
  });
  assert.equal(code, 0);
  assert.match(noted, /Service converged\n$/);
});

Deno.test("covey rollout status: shows stages, counts, and who failed and who is deferred why", async () => {
  const status = {
    State: "updating" as const,
    Message: "stage 1 waits",
    Rollout: rollout("awaiting_promotion"),
  };
  const { code, shown } = await covey(["rollout", "status", "probe"], status);
  assert.equal(code, 0);
  assert.equal(
    shown,
    "Service:   probe\n" +
      "State:     awaiting promotion (stage 1 waits)\n" +
      "Stages:    1. 10%: awaiting promotion, promoted by hand\n" +
      "           2. 100%: to come\n" +
      "Devices:   1 of 10 done, 1 failed, 1 deferred\n" +
      "Failed:    n2 in stage 1\n" +
      "Deferred:  pi-3: its node is not reachable\n",
  );
});

Deno.test("covey rollout: every action is asked of the manager", async () => {
  const completed = { State: "completed" as const, Message: "", Rollout: rollout("completed") };
  for (const action of ["promote", "pause", "resume", "abort", "retry"]) {
    const { code, posted } = await covey(["rollout", action, "probe"], completed);
    assert.equal(code, 0);
    assert.deepEqual(posted.map((path) => path.replace(/^\/v[0-9.]+/, "")), [
      `/services/probe/rollout/${action}`,
    ]);
  }
});
