import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { parseServiceSpec } from "../../../api/validate/mod.ts";
import { shimRequest } from "../../../executors/process/process_spec.ts";
import { task } from "../../manager/store/objects.ts";

/** A value for each field of a container that no program has. */
const CONTAINERS: Record<string, unknown> = {
  Image: "busybox",
  Labels: { a: "b" },
  Hostname: "h",
  Groups: ["audio"],
  Privileges: { NoNewPrivileges: true },
  Init: true,
  TTY: true,
  OpenStdin: true,
  ReadOnly: true,
  Mounts: [{ Type: "tmpfs", Target: "/t" }],
  Healthcheck: { Test: ["CMD", "true"] },
  Hosts: ["10.0.0.1 a"],
  DNSConfig: { Nameservers: ["10.0.0.1"] },
  Isolation: "hyperv",
  Sysctls: { "net.core.somaxconn": "1" },
  CapabilityAdd: ["CAP_SYS_TIME"],
  CapabilityDrop: ["CAP_CHOWN"],
  Ulimits: [{ Name: "nofile", Soft: 1, Hard: 1 }],
  OomScoreAdj: 5,
};

Deno.test("Programs: each field that only a container has is refused by name, all at once; empty ones say nothing", () => {
  for (
    const [Runtime, spec, base] of [["process", "ProcessSpec", { Command: "x" }], ["deno", "DenoSpec", {
      Source: "1",
    }]] as const
  ) {
    const parse = (more: object) =>
      parseServiceSpec({ Name: "a", TaskTemplate: { Runtime, [spec]: { ...base, ...more } } });
    assert.throws(() => parse(CONTAINERS), (thrown) => {
      assert.ok(thrown instanceof CoveyError);
      const fields = thrown.problems.map(({ field }) => field).sort();
      assert.deepEqual(
        fields,
        // A process may have a read-only root as well.
        Object.keys(CONTAINERS).filter((field) => spec !== "ProcessSpec" || field !== "ReadOnly")
          .map((field) => `TaskTemplate.${spec}.${field}`).sort(),
      );
      return true;
    });
    const empty = Object.fromEntries(
      Object.entries(CONTAINERS).map(([field, value]) => {
        const nothing = Array.isArray(value)
          ? []
          : { string: "", number: 0, boolean: false, object: {} }[typeof value as "string"];
        return [field, nothing];
      }),
    );
    assert.deepEqual(parse(empty), parse({}));
  }
});

Deno.test("Programs: what a submission takes, the executor can ask its shim for", () => {
  const ProcessSpec = {
    Command: "/bin/x",
    Args: ["a"],
    Env: ["A=b"],
    Dir: "/srv",
    User: "1:2",
    StopSignal: "INT",
    StopGracePeriod: 1e9,
  };
  const Resources = { Limits: { NanoCPUs: 5e8, MemoryBytes: 64 * 1024 ** 2, Pids: 9 } };
  const { TaskTemplate } = parseServiceSpec({
    Name: "a",
    TaskTemplate: { Runtime: "process", ProcessSpec, Resources },
  });
  const { command, env, options } = shimRequest({ ...task("t1", "s1", "n1"), Spec: TaskTemplate }, "/bin");
  assert.deepEqual([command, env], [["/bin/x", "a"], ["A=b"]]);
  const { dir, user, memory, nano_cpus, pids } = options;
  assert.deepEqual({ dir, user, memory, nano_cpus, pids }, {
    dir: "/srv",
    user: "1:2",
    memory: String(64 * 1024 ** 2),
    nano_cpus: "500000000",
    pids: "9",
  });
});

Deno.test("Programs: what no device could run is refused when it is submitted, in the words of the device", () => {
  const wrong = {
    Command: "/bin/x",
    Env: ["COVEY_X=1", "1A=b", "{{.Var.name}}=x"],
    Dir: "relative",
    User: "a:b:c",
    StopSignal: "NONE",
    StopGracePeriod: 48 * 3600e9,
  };
  assert.throws(
    () => parseServiceSpec({ Name: "a", TaskTemplate: { Runtime: "process", ProcessSpec: wrong } }),
    (thrown) => {
      assert.ok(thrown instanceof CoveyError);
      const { Env: _, Command: _command, ...fields } = wrong;
      const wanted = ["Env[0]", "Env[1]", ...Object.keys(fields)].map((field) =>
        `TaskTemplate.ProcessSpec.${field}`
      );
      assert.deepEqual(thrown.problems.map(({ field }) => field).sort(), wanted.sort());
      return true;
    },
  );
});
