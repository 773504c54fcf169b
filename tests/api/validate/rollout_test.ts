import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { rolloutConfig, stagesOf } from "../../../api/rollout_labels.ts";
import type { ServiceSpec } from "../../../api/service.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";

const BODY = {
  Name: "probe",
  TaskTemplate: { Runtime: "process", ProcessSpec: { Command: "/bin/true" } },
  Mode: { Global: {} },
};
const STAGES = [{ Percent: 1, Bake: 60e9, Promotion: "manual" }, { Constraint: "node.labels.ring==early" }, {
  Percent: 100,
}];

function problems(body: unknown): string[] {
  try {
    parseServiceSpec(body);
  } catch (thrown) {
    return (thrown as CoveyError).problems!.map(({ field, message }) => `${field}: ${message}`);
  }
  return [];
}

Deno.test("Rollout: stages are members of the update config", () => {
  const spec = parseServiceSpec({
    ...BODY,
    UpdateConfig: { Rollout: { Stages: STAGES, MaxReturneeFailures: 0 } },
  });
  assert.deepEqual(spec.UpdateConfig!.Rollout, { Stages: STAGES, MaxReturneeFailures: 0 });
  assert.deepEqual(stagesOf(spec), STAGES);
});

Deno.test("Rollout: labels say the same, and win over members", () => {
  const labels = {
    "covey.rollout.stages": "1%, 10%,node.labels.ring==early , 100%",
    "covey.rollout.bake": "10m",
    "covey.rollout.stage.1.bake": "1h",
    "covey.rollout.promotion": "manual",
    "covey.rollout.failure-threshold": "5%",
    "covey.rollout.max-returnee-failures": "2",
  };
  const spec = parseServiceSpec({ ...BODY, Labels: labels, UpdateConfig: { Rollout: { Stages: STAGES } } });
  const common = { FailureThreshold: 0.05, Bake: 600e9 };
  assert.deepEqual(rolloutConfig(spec), {
    Stages: [
      { Percent: 1, ...common, Bake: 3600e9, Promotion: "manual" },
      { Percent: 10, ...common, Promotion: "manual" },
      { Constraint: "node.labels.ring==early", ...common, Promotion: "manual" },
      { Percent: 100, ...common },
    ],
    MaxReturneeFailures: 2,
  });
  const merged = parseServiceSpec({
    ...BODY,
    Labels: { "covey.rollout.stage.1.bake": "5s" },
    UpdateConfig: { Rollout: { Stages: STAGES } },
  });
  assert.equal(stagesOf(merged)[0]!.Bake, 5e9);
  assert.equal(stagesOf(merged)[0]!.Promotion, "manual");
});

Deno.test("Rollout: a client that does not know the member does not lose it; an empty one drops it", () => {
  const current: ServiceSpec = parseServiceSpec({ ...BODY, UpdateConfig: { Rollout: { Stages: STAGES } } });
  const back = parseServiceSpec({ ...BODY, UpdateConfig: { Parallelism: 2 } }, { current });
  assert.deepEqual(back.UpdateConfig!.Rollout, { Stages: STAGES });
  const dropped = parseServiceSpec({ ...BODY, UpdateConfig: { Parallelism: 2, Rollout: {} } }, { current });
  assert.equal(dropped.UpdateConfig!.Rollout, undefined);
});

Deno.test("Rollout: contradictory settings are refused, all problems at once", () => {
  const found = problems({
    ...BODY,
    Mode: { Replicated: { Replicas: 1 } },
    Labels: {
      "covey.rollout.stage.9.bake": "1m",
      "covey.rollout.bak": "1m",
      "covey.rollout.timeout": "soon",
    },
    UpdateConfig: {
      FailureAction: "continue",
      Rollout: {
        MaxReturneeFailures: 1,
        Stages: [
          { Percent: 10, Constraint: "node.role==worker" },
          { Percent: 5, SuccessThreshold: 1, FailureThreshold: 0.5 },
          { Constraint: "ring" },
          { Percent: 200, Timeout: 1e9, Promotion: "manual" },
        ],
      },
    },
    RollbackConfig: { Rollout: { Stages: [{ Percent: 100 }] } },
  });
  const path = "UpdateConfig.Rollout";
  assert.deepEqual(
    found.sort(),
    [
      "Labels.covey.rollout.bak: no such setting of a rollout",
      "Labels.covey.rollout.stage.9.bake: there is no stage 9",
      'Labels.covey.rollout.timeout: cannot be read: current value is "soon"',
      "RollbackConfig.Rollout: a rollback has no stages",
      `${path}.MaxReturneeFailures: FailureAction continue goes on whatever fails`,
      `${path}.Stages[0]: must have a Percent or a Constraint, and not both`,
      `${path}.Stages[1].Percent: must be more than the 10 % of the stage before`,
      `${path}.Stages[1].SuccessThreshold: cannot be met where a share of 0.5 may fail`,
      `${path}.Stages[2].Constraint: constraint expected one operator from ==, !=`,
      `${path}.Stages[3].Percent: must be more than 0 and at most 100: current value is 200`,
      `${path}.Stages[3].Promotion: there is no stage after the last one to promote to`,
      `${path}.Stages[3].Timeout: ends before the monitor period of 5 s, so that no stage can be done`,
      `${path}.Stages[3]: the last stage must be 100 %`,
      `${path}: FailureAction continue goes on whatever fails, stages do not`,
      `${path}: stages are for global services`,
    ].sort(),
  );
});

Deno.test("Rollout: start-first is refused where two copies cannot stand on a node (46)", () => {
  const order = { UpdateConfig: { Order: "start-first" }, RollbackConfig: { Order: "start-first" } };
  const port = { TargetPort: 80, PublishedPort: 8080, PublishMode: "host" };
  const message = "start-first needs two copies on a node, which cannot both have host port 8080";
  assert.deepEqual(problems({ ...BODY, ...order, EndpointSpec: { Ports: [port] } }), [
    `UpdateConfig.Order: ${message}`,
    `RollbackConfig.Order: ${message}`,
  ]);
  const TaskTemplate = { ...BODY.TaskTemplate, Placement: { MaxReplicas: 1 } };
  assert.equal(problems({ ...BODY, ...order, TaskTemplate }).length, 2);
  assert.deepEqual(problems({ ...BODY, ...order }), []);
});

Deno.test("Rollout: the example is taken as it stands", async () => {
  const path = new URL("../../../examples/staged_rollout.json", import.meta.url);
  const spec = parseServiceSpec(JSON.parse(await Deno.readTextFile(path)));
  assert.deepEqual(stagesOf(spec).map(({ Percent }) => Percent), [1, 50, 100]);
  assert.equal(stagesOf(spec)[0]!.Bake, 10e9);
});

Deno.test("Rollout: failure budgets are members, or labels that say the same", () => {
  const Budgets = [{ Label: "node.labels.site", MaxDown: 1 }, {
    Label: "node.labels.region",
    MaxDownPercent: 12.5,
  }];
  const spec = parseServiceSpec({ ...BODY, UpdateConfig: { Rollout: { Budgets } } });
  assert.deepEqual(rolloutConfig(spec)!.Budgets, Budgets);
  const labels = { "covey.rollout.budgets": "node.labels.site=1, node.labels.region = 12.5%" };
  assert.deepEqual(rolloutConfig(parseServiceSpec({ ...BODY, Labels: labels }))!.Budgets, Budgets);
  assert.deepEqual(stagesOf(spec), []);
});

Deno.test("Rollout: budgets that cannot be kept to are refused, all at once", () => {
  const at = "UpdateConfig.Rollout.Budgets";
  assert.deepEqual(
    problems({
      ...BODY,
      Mode: { Replicated: { Replicas: 1 } },
      UpdateConfig: {
        Rollout: {
          Budgets: [
            { Label: "site", MaxDown: 1 },
            { Label: "node.labels.site", MaxDown: 0 },
            { Label: "node.labels.site", MaxDownPercent: 101 },
            { Label: "node.labels.region", MaxDown: 1, MaxDownPercent: 1 },
            { Label: "node.labels.zone" },
          ],
        },
      },
    }),
    [
      `${at}: budgets are for global services`,
      `${at}[0].Label: must be node.labels.… or engine.labels.…: current value is "site"`,
      `${at}[1].MaxDown: with none that may be down, no device could ever be updated`,
      `${at}[2].Label: node.labels.site has a budget already`,
      `${at}[2].MaxDownPercent: must be more than 0 and at most 100: current value is 101`,
      `${at}[3]: must have a MaxDown or a MaxDownPercent, and not both`,
      `${at}[4]: must have a MaxDown or a MaxDownPercent, and not both`,
    ],
  );
  assert.deepEqual(problems({ ...BODY, Labels: { "covey.rollout.budgets": "node.labels.site=x" } }), [
    'Labels.covey.rollout.budgets: cannot be read: current value is "node.labels.site=x"',
  ]);
});

Deno.test("Rollout: what devices do by themselves is set by members or labels", () => {
  const Apply = { Cron: "0 2 * * 6", Grace: 7200e9 };
  const labels = {
    "covey.rollout.device-rollback": "5m",
    "covey.rollout.apply-window": "0 2 * * 6",
    "covey.rollout.apply-grace": "2h",
    "covey.rollout.consent": "true",
  };
  const expected = { DeviceRollback: 300e9, Apply, Consent: true };
  assert.deepEqual(rolloutConfig(parseServiceSpec({ ...BODY, Labels: labels })), expected);
  const spec = parseServiceSpec({ ...BODY, UpdateConfig: { Rollout: expected } });
  assert.deepEqual(spec.UpdateConfig!.Rollout, expected);
});

Deno.test("Rollout: windows that never open, and settings that devices cannot act by, are refused all at once", () => {
  const Rollout = {
    Download: { Cron: "0 0 30 2 *", Grace: 60e9 },
    Apply: { Cron: "at night", Grace: 1e9 },
    Consent: true,
  };
  const needs = "needs DeviceRollback: else devices do not bring a new version in by themselves";
  const found = problems({ ...BODY, UpdateConfig: { Rollout } });
  for (const field of ["Download", "Apply", "Consent"]) {
    assert.ok(found.includes(`UpdateConfig.Rollout.${field}: ${needs}`), field);
  }
  assert.ok(found.includes('UpdateConfig.Rollout.Download.Cron: never comes: current value is "0 0 30 2 *"'));
  assert.ok(found.some((each) => each.startsWith("UpdateConfig.Rollout.Apply.Cron: cannot be read")));
  assert.ok(
    found.some((each) => each.startsWith("UpdateConfig.Rollout.Apply.Grace: the window is open for less")),
  );
  assert.deepEqual(
    problems({
      ...BODY,
      Mode: { Replicated: { Replicas: 1 } },
      UpdateConfig: { Rollout: { DeviceRollback: 1 } },
    }),
    [
      "UpdateConfig.Rollout.DeviceRollback: devices go back by themselves in global services",
      "UpdateConfig.Rollout.DeviceRollback: must be at least 1 s: current value is 1 ns",
    ],
  );
});
