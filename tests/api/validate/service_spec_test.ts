import assert from "node:assert/strict";
import fc from "fast-check";
import { renewalGraceMs } from "../../../api/cluster.ts";
import { CoveyError } from "../../../api/errors.ts";
import {
  mergeClusterSpec,
  parseClusterSpec,
  parseNodeSpec,
  parseServiceSpec,
} from "../../../api/validate/mod.ts";
import { defaultClusterSpec } from "../../../manager/cluster/new_cluster.ts";

const spec = (template: Record<string, unknown>, over: Record<string, unknown> = {}) => ({
  Name: "web",
  TaskTemplate: { ContainerSpec: { Image: "busybox" }, ...template },
  ...over,
});

/** Field and message of every problem. */
function problems(run: () => unknown): Record<string, string> {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CoveyError);
    assert.equal(error.code, "invalid_argument");
    return Object.fromEntries(error.problems.map(({ field, message }) => [field, message]));
  }
  return {};
}

Deno.test("Service spec: defaults are Docker's, unknown and empty fields are dropped", () => {
  const body = spec({ Placement: {}, Resources: { Limits: {} }, RestartPolicy: {}, Unknown: 1 }, {
    UpdateConfig: { Delay: 0 },
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishMode: "host" }] },
    Extra: {},
  });
  assert.deepEqual(parseServiceSpec(body), {
    Name: "web",
    Labels: {},
    TaskTemplate: {
      ContainerSpec: { Image: "busybox" },
      Resources: { Limits: {} },
      RestartPolicy: { Condition: "any", MaxAttempts: 0 },
      Placement: {},
      ForceUpdate: 0,
      Runtime: "container",
    },
    Mode: { Replicated: { Replicas: 1 } },
    UpdateConfig: { Parallelism: 0, FailureAction: "pause", MaxFailureRatio: 0, Order: "stop-first" },
    EndpointSpec: { Mode: "vip", Ports: [{ Protocol: "tcp", TargetPort: 80, PublishMode: "host" }] },
  });
});

Deno.test("Service spec: normalizing what is normal changes nothing", () => {
  const normal = parseServiceSpec(
    spec({ RestartPolicy: { Delay: 5 } }, { EndpointSpec: {}, RollbackConfig: {} }),
  );
  assert.deepEqual(parseServiceSpec(normal), normal);
});

Deno.test("Service spec: all problems are listed with the path of their field", () => {
  const body = {
    Name: "a b",
    Labels: { a: 1 },
    TaskTemplate: {
      ContainerSpec: {
        Image: "UPPER//x",
        Env: "A=b",
        Mounts: [{ Type: "tmpfs", Target: "/x" }, { Type: "tmpfs", Target: "/x" }, {
          Type: "floppy",
          Target: "/y",
        }],
        Healthcheck: { Interval: 1, Retries: -1 },
      },
      Resources: { Limits: { MemoryBytes: 100 }, Reservations: { NanoCPUs: 1 } },
      RestartPolicy: { Condition: "sometimes", Delay: -1 },
      Placement: { Constraints: ["node.role==manager", "foo"] },
    },
    Mode: { Replicated: { Replicas: -1 }, Global: {} },
    UpdateConfig: { MaxFailureRatio: 2, FailureAction: "explode" },
  };
  const container = "TaskTemplate.ContainerSpec";
  assert.deepEqual(problems(() => parseServiceSpec(body)), {
    "Labels.a": "cannot unmarshal number into string",
    [`${container}.Env`]: "cannot unmarshal string into array",
    [`${container}.Mounts[2].Type`]: 'invalid MountType: "floppy"',
    [`${container}.Mounts[1].Target`]: "ContainerSpec: duplicate mount point: /x",
    [`${container}.Healthcheck.Interval`]: "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
    [`${container}.Healthcheck.Retries`]: "ContainerSpec: Retries in HealthConfig cannot be negative",
    "TaskTemplate.Resources.Limits.MemoryBytes": "invalid memory value 100: Must be at least 4MiB",
    "TaskTemplate.Resources.Reservations.NanoCPUs": "invalid cpu value 1e-9: Must be at least 0.001",
    "TaskTemplate.RestartPolicy.Condition": 'invalid RestartCondition: "sometimes"',
    "TaskTemplate.RestartPolicy.Delay": "TaskSpec: restart-delay cannot be negative",
    "TaskTemplate.Placement.Constraints[1]": "constraint expected one operator from ==, !=",
    "Mode.Replicated.Replicas": "Number of replicas must be non-negative and at most 1000000",
    "UpdateConfig.FailureAction": "unrecognized update failure action explode",
    "UpdateConfig.MaxFailureRatio": "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
    "Name": "name must be valid as a DNS name component",
    [`${container}.Image`]: 'ContainerSpec: "UPPER//x" is not a valid repository/tag',
    "Mode": "must specify only one service mode",
  });
});

Deno.test("Service spec: what is not there yet is refused by name, never ignored", () => {
  const body = spec({
    ContainerSpec: {
      Image: "busybox",
      Configs: [{ Runtime: { X: 1 } }],
      Mounts: [{ Type: "cluster", Target: "/x" }],
    },
    Networks: [{ Target: "host" }, { Aliases: ["a"] }, { Target: "net" }],
    PluginSpec: { Name: "x" },
  }, {
    EndpointSpec: { Mode: "dnsrr", Ports: [{ TargetPort: 80 }] },
  });
  const container = "TaskTemplate.ContainerSpec";
  assert.deepEqual(Object.keys(problems(() => parseServiceSpec(body))).sort(), [
    "EndpointSpec.Ports",
    "EndpointSpec.Ports[0].PublishMode",
    `${container}.Configs[0].Runtime`,
    `${container}.Mounts[0].Type`,
    "TaskTemplate.Networks",
    "TaskTemplate.Networks[1].Target",
    "TaskTemplate.PluginSpec",
  ]);
  assert.deepEqual(problems(() => parseServiceSpec(spec({ Networks: [] }, { Networks: null }))), {});
});

Deno.test("Service spec: runtime and runtime spec must fit", () => {
  const mismatch = "mismatched Runtime and *Spec fields";
  assert.deepEqual(problems(() => parseServiceSpec({ Name: "a" })), {
    "TaskTemplate.ContainerSpec": mismatch,
  });
  const task = (TaskTemplate: unknown) => () => parseServiceSpec({ Name: "a", TaskTemplate });
  assert.deepEqual(problems(task({ Runtime: "process" })), { "TaskTemplate.ProcessSpec": mismatch });
  assert.deepEqual(problems(task({ Runtime: "process", ProcessSpec: { Env: ["=x"], User: "4294967296" } })), {
    "TaskTemplate.ProcessSpec.Command": "a program must be provided",
    "TaskTemplate.ProcessSpec.User": "a number must be 0 to 2147483647: 4294967296",
    "TaskTemplate.ProcessSpec.Env[0]": "must be NAME=value: ",
  });
  for (const Command of ["./run.sh", "bin/run"]) {
    assert.deepEqual(problems(task({ Runtime: "process", ProcessSpec: { Command } })), {
      "TaskTemplate.ProcessSpec.Command": `must be an absolute path or a name without slash: ${Command}`,
    });
  }
  assert.deepEqual(problems(task({ Runtime: "process", ProcessSpec: { Command: "sleep" } })), {});
  assert.deepEqual(problems(task({ Runtime: "deno" })), { "TaskTemplate.DenoSpec": mismatch });
  assert.deepEqual(problems(task({ Runtime: "deno", DenoSpec: { Source: "1" }, ProcessSpec: {} })), {
    "TaskTemplate.ProcessSpec": mismatch,
  });
  assert.deepEqual(problems(task({ ContainerSpec: { Image: "a" }, DenoSpec: { Source: "1" } })), {
    "TaskTemplate.DenoSpec": mismatch,
  });
  assert.deepEqual(problems(task({ Runtime: "plugin", GenericSpec: { Payload: 1 } })), {
    "TaskTemplate.Runtime": 'unsupported runtime type: "plugin"',
  });
  assert.deepEqual(problems(task({ Runtime: "wasm" })), { "TaskTemplate.GenericSpec.Payload": mismatch });
});

Deno.test("Service spec: a script is bounded, and each of its permissions one that Deno takes as it is meant", () => {
  const deno = (DenoSpec: unknown) =>
    problems(() => parseServiceSpec({ Name: "a", TaskTemplate: { Runtime: "deno", DenoSpec } }));
  assert.deepEqual(deno({ Source: "1", Permissions: { Net: false, Read: [], Env: true } }), {});
  assert.deepEqual(deno({ Source: "x".repeat(64 * 1024) }), {});
  const tooLong = `has ${64 * 1024 + 1} characters, at most ${64 * 1024} are allowed`;
  assert.equal(deno({ Source: "x".repeat(64 * 1024 + 1) })["TaskTemplate.DenoSpec.Source"], tooLong);
  const both = "exactly one of Source, Wasm and Module must be provided, current are 2";
  assert.deepEqual(deno({ Source: "1", Module: "/x.ts" }), { "TaskTemplate.DenoSpec": both });
  assert.deepEqual(deno({ Wasm: "c2NyaXB0" }), {
    "TaskTemplate.DenoSpec.Wasm": "must be a WebAssembly module in base64",
  });
  assert.deepEqual(Object.keys(deno({ Module: "x.ts", User: "4294967296", Env: ["=x"] })), [
    "TaskTemplate.DenoSpec.Module",
    "TaskTemplate.DenoSpec.Env[0]",
    "TaskTemplate.DenoSpec.User",
  ]);
  const wrong = {
    Net: ["*", "*.example.com", "10.0.0.0/8", "a,b", "unix:/run/x.sock", "a:70000", "-a"],
    Read: ["x", "./x", "/a/../b", "/a//b", "/a,/", ".."],
    Env: ["A*", "", "A=b"],
    Run: ["sh", "."],
    Sys: ["--all"],
    FFI: ["lib.so"],
  };
  for (const [kind, values] of Object.entries(wrong)) {
    for (const value of values.filter((each) => each !== "")) {
      const fields = Object.keys(deno({ Source: "1", Permissions: { [kind]: [value] } }));
      assert.deepEqual(fields, [`TaskTemplate.DenoSpec.Permissions.${kind}[0]`], value);
    }
  }
  const right = {
    Net: ["a", "a.example.com:443", "192.0.2.1", "[::1]:80", "_x:1"],
    Read: ["/", ".", "/a/..b", "/a b"],
    Env: ["A", "_a1"],
    Run: ["/bin/sh"],
  };
  assert.deepEqual(deno({ Source: "1", Permissions: right }), {});
  const many = Array.from({ length: 201 }, (_, i) => `h${i}`);
  assert.deepEqual(deno({ Source: "1", Permissions: { Net: many } }), {
    "TaskTemplate.DenoSpec.Permissions": "has 201 values, at most 200 are allowed",
  });
});

Deno.test("Service spec: image references are Docker's", () => {
  const good = [
    "busybox",
    "busybox:1.36",
    "a/b/c",
    "localhost:5000/x:y",
    `x@sha256:${"0".repeat(64)}`,
    "Reg.io/x",
  ];
  const bad = ["", "Busybox", "a b", "x:", "-x", "x@sha256:0", "http://x/y", `${"x".repeat(600)}`];
  const wrong = (Image: string) =>
    Object.keys(problems(() => parseServiceSpec(spec({ ContainerSpec: { Image } }))));
  for (const image of good) assert.deepEqual(wrong(image), [], image);
  for (const image of bad) assert.deepEqual(wrong(image), ["TaskTemplate.ContainerSpec.Image"], image);
});

Deno.test("Specs: any JSON is either taken or refused with problems", () => {
  const fields = [
    "Name",
    "TaskTemplate",
    "Mode",
    "ContainerSpec",
    "Image",
    "Mounts",
    "Role",
    "Raft",
    "Ports",
  ];
  const json = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: "small" },
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...fields), tie("any")),
    ),
  })).any;
  fc.assert(fc.property(json, (value) => {
    for (const parse of [parseServiceSpec, parseNodeSpec, parseClusterSpec]) problems(() => parse(value));
  }));
});

Deno.test("Swarm spec: what is absent stays, and any ticks are taken", () => {
  const defaults = defaultClusterSpec();
  const merge = (body: unknown) => mergeClusterSpec(defaults, parseClusterSpec(body));
  assert.deepEqual(merge({}), defaults);
  assert.equal(merge({ Raft: { ElectionTick: 20 } }).Raft.ElectionTick, 20);
  assert.deepEqual(problems(() => merge({ Raft: { ElectionTick: 1, HeartbeatTick: 2 ** 32 - 1 } })), {});
  assert.equal(
    merge({ Orchestration: { TaskHistoryRetentionLimit: -5 } }).Orchestration.TaskHistoryRetentionLimit,
    -5,
  );
  assert.deepEqual(
    merge({ Raft: { ElectionTick: 0 }, Orchestration: { TaskHistoryRetentionLimit: null } }),
    defaults,
  );
  const certificates = merge({ CAConfig: { RenewalGracePeriod: 0 } }).CAConfig;
  assert.deepEqual(certificates, { ...defaults.CAConfig, RenewalGracePeriod: 0 });
  const days = 86_400e9;
  assert.equal(renewalGraceMs({ CAConfig: certificates }), 0);
  assert.equal(
    renewalGraceMs({ CAConfig: { NodeCertExpiry: days } }),
    180 * 86_400_000,
    "of an older cluster",
  );
  for (const RenewalGracePeriod of [-1, 3651 * days, "180d"]) {
    assert.deepEqual(Object.keys(problems(() => merge({ CAConfig: { RenewalGracePeriod } }))!), [
      "CAConfig.RenewalGracePeriod",
    ]);
  }
  assert.deepEqual(problems(() => merge({ Name: "x", CAConfig: { NodeCertExpiry: 5, ExternalCAs: [{}] } })), {
    "Name": 'swarm spec must be named "default"',
    "CAConfig.NodeCertExpiry": "minimum certificate expiry time is: 1h0m0s",
    "CAConfig.ExternalCAs": "external certificate authorities are not available yet",
  });
});

Deno.test("Service spec: text that no program or terminal takes is refused where it stands", () => {
  const wrong = problems(() =>
    parseServiceSpec(
      spec({
        ContainerSpec: {
          Image: "busybox",
          Args: ["fine\nin\tlines", "a\0b", "\ud800"],
          Hostname: "a\u202eb",
          Privileges: { Seccomp: { Mode: "custom", Profile: "no base64" }, SELinuxContext: { User: 5 } },
          Mounts: [{ Type: "tmpfs", Target: "/t", TmpfsOptions: { Mode: 2 ** 32 } }],
        },
        LogDriver: { Name: "x\u001b[2J", Options: { "a\nb": "x", c: "fine\nin lines", d: "\u2066" } },
        Placement: { Preferences: [{}, { Spread: {} }] },
      }),
    )
  );
  assert.deepEqual(Object.keys(wrong).sort(), [
    "TaskTemplate.ContainerSpec.Args[1]",
    "TaskTemplate.ContainerSpec.Args[2]",
    "TaskTemplate.ContainerSpec.Hostname",
    "TaskTemplate.ContainerSpec.Mounts[0].TmpfsOptions.Mode",
    "TaskTemplate.ContainerSpec.Privileges.SELinuxContext.User",
    "TaskTemplate.ContainerSpec.Privileges.Seccomp.Profile",
    "TaskTemplate.LogDriver.Name",
    "TaskTemplate.LogDriver.Options.a b",
    "TaskTemplate.LogDriver.Options.d",
  ]);
});

Deno.test("Service spec: a generic resource has one kind and a value, a preference a label", () => {
  const reserve = (...GenericResources: unknown[]) => () =>
    parseServiceSpec(spec({ Resources: { Reservations: { GenericResources } } }));
  const field = "TaskTemplate.Resources.Reservations.GenericResources[0]";
  for (
    const resource of [
      {},
      { DiscreteResourceSpec: {} },
      { DiscreteResourceSpec: { Kind: "gpu" } },
      { NamedResourceSpec: { Value: "a" } },
      { DiscreteResourceSpec: { Kind: "gpu", Value: 1 }, NamedResourceSpec: { Kind: "gpu", Value: "a" } },
    ]
  ) assert.deepEqual(Object.keys(problems(reserve(resource))), [field]);
  assert.deepEqual(
    Object.keys(problems(reserve({ DiscreteResourceSpec: { Kind: "gpu", Value: 2 ** 53 } }))),
    [
      `${field}.DiscreteResourceSpec.Value`,
    ],
  );
  assert.deepEqual(problems(reserve({ DiscreteResourceSpec: { Kind: "constructor", Value: 1 } })), {});
  // One without a label used to end the scheduler.
  const { Preferences } = parseServiceSpec(spec({ Placement: { Preferences: [{}, { Spread: {} }] } }))
    .TaskTemplate.Placement!;
  assert.deepEqual(Preferences, [{ Spread: { SpreadDescriptor: "" } }]);
});

Deno.test("Service spec: one that would not fit twice into an entry of the log is refused", () => {
  const Env = (bytes: number) => [`A=${"ü".repeat(bytes / 4)}`, `B=${"ü".repeat(bytes / 4)}`];
  const sized = (bytes: number) => () =>
    parseServiceSpec(spec({ ContainerSpec: { Image: "busybox", Env: Env(bytes) } }));
  assert.deepEqual(problems(sized(250_000)), {});
  assert.match(problems(sized(262_144))["spec"]!, /^has \d+ bytes, at most 262144 are allowed$/);
});

Deno.test("Service spec: a payload of somebody else's executor is kept only if it can be kept as it is", () => {
  const payload = (Payload: unknown) => () =>
    parseServiceSpec({ Name: "x", TaskTemplate: { Runtime: "timer", GenericSpec: { Payload } } });
  for (const wrong of [2 ** 53, [1e400], { a: "\ud800" }, { "\udfff": 1 }, "a\0b"]) {
    assert.deepEqual(Object.keys(problems(payload(wrong))), ["TaskTemplate.GenericSpec.Payload"]);
  }
  assert.deepEqual(problems(payload({ constructor: { toString: [1.5, null, true, 2 ** 53 - 1] } })), {});
});

Deno.test("Problems: as many are listed as anybody mends at a time, and none quotes a whole file", () => {
  const Labels = Object.fromEntries(Array.from({ length: 500 }, (_, nth) => [`l${nth}`, nth]));
  try {
    parseServiceSpec(spec({}, { Labels }));
    assert.fail("it was taken");
  } catch (error) {
    assert.ok(error instanceof CoveyError);
    assert.equal(error.problems.length, 100);
    assert.match(error.message, /; and 400 more$/);
  }
});

Deno.test("Service spec: a job is one task at a time, and as many in all as at once, unless it says otherwise", () => {
  const modeOf = (Mode: unknown) => parseServiceSpec(spec({}, { Mode })).Mode;
  assert.deepEqual(modeOf({ ReplicatedJob: {} }), {
    ReplicatedJob: { MaxConcurrent: 1, TotalCompletions: 1 },
  });
  assert.deepEqual(modeOf({ ReplicatedJob: { MaxConcurrent: 2 } }), {
    ReplicatedJob: { MaxConcurrent: 2, TotalCompletions: 2 },
  });
  assert.deepEqual(modeOf({ ReplicatedJob: { MaxConcurrent: 0, TotalCompletions: 3 } }), {
    ReplicatedJob: { MaxConcurrent: 0, TotalCompletions: 3 },
  });
  assert.deepEqual(modeOf({ GlobalJob: {} }), { GlobalJob: {} });
});

Deno.test("Service spec: jobs are refused what has no meaning for them, in Docker's words", () => {
  const refused = (Mode: unknown, more = {}) => problems(() => parseServiceSpec(spec({}, { Mode, ...more })));
  for (const mode of [{ ReplicatedJob: {} }, { GlobalJob: {} }]) {
    assert.deepEqual(refused(mode, { UpdateConfig: {} }), {
      UpdateConfig: "Jobs may not have an update config",
    });
    const RollbackConfig = {
      Parallelism: 1,
      FailureAction: "pause",
      Order: "stop-first",
      MaxFailureRatio: 0,
    };
    const kept = parseServiceSpec(spec({}, { Mode: mode, RollbackConfig })).RollbackConfig;
    assert.deepEqual(kept, RollbackConfig, "as in Docker");
  }
  assert.deepEqual(refused({ ReplicatedJob: {}, Global: {} }), {
    Mode: "must specify only one service mode",
  });
  assert.deepEqual(refused({ ReplicatedJob: {}, GlobalJob: {} }), {
    Mode: "must specify only one service mode",
  });
  const counts = refused({ ReplicatedJob: { MaxConcurrent: 1_000_001, TotalCompletions: -1 } });
  assert.deepEqual(Object.keys(counts), [
    "Mode.ReplicatedJob.MaxConcurrent",
    "Mode.ReplicatedJob.TotalCompletions",
  ]);
});
