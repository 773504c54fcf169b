import assert from "node:assert/strict";
import { CoveyError } from "../../../api/errors.ts";
import { parseManagerOptions, withPort } from "../../../manager/process/options.ts";

Deno.test("run-manager: defaults make a manager on this folder with the docker socket", () => {
  const options = parseManagerOptions([], "/here");
  assert.equal(options.stateDir, "/here/.covey/manager");
  assert.equal(options.apiSocket, "/here/.covey/manager/covey.sock");
  assert.equal(options.listen, undefined);
  assert.equal(options.dockerSocket, "/var/run/docker.sock");
  assert.equal(options.agent, true);
});

Deno.test("run-manager: every flag is taken", () => {
  const options = parseManagerOptions(
    [
      "--state-dir",
      "/s",
      "--listen",
      "127.0.0.1:1",
      "--advertise",
      "10.0.0.1",
      "--api",
      "/a.sock",
      "--join",
      "h:1,h2",
      "--token",
      "T",
    ]
      .concat("--no-agent", "--hostname", "pi", "--label", "a=b=c", "--label", "d=", "--docker", "none")
      .concat("--data-path-addr", "192.0.2.7")
      .concat("--skip-entry", "7", "--skip-entry=9", "--skip-record", "tasks/abc"),
    "/here",
  );
  assert.deepEqual(options, {
    stateDir: "/s",
    listen: "127.0.0.1:1",
    advertise: "10.0.0.1:2377",
    dataPath: "192.0.2.7",
    apiSocket: "/a.sock",
    join: ["h:1", "h2:2377"],
    token: "T",
    idle: false,
    agent: false,
    hostname: "pi",
    labels: { a: "b=c", d: "" },
    skip: { entries: [7, 9], records: ["tasks/abc"] },
    dockerSocket: undefined,
    exitWithParent: false,
  });
});

Deno.test("run-manager: all problems are reported at once, each with its flag", () => {
  const flags = ["--listen", "a b", "--join", "x", "--idle", "--label", "novalue", "--state-dir", "/a b"];
  assert.throws(() => parseManagerOptions(flags, "/here"), (error) => {
    assert.ok(error instanceof CoveyError);
    assert.deepEqual(error.problems.map(({ field }) => field).sort(), [
      "--idle",
      "--label",
      "--listen",
      "--state-dir",
      "--token",
    ]);
    return true;
  });
  assert.throws(
    () => parseManagerOptions(["--api", `/${"x".repeat(120)}`], "/"),
    /--api: a socket's path has at most 107/,
  );
  assert.throws(() => parseManagerOptions(["--nonsense"], "/"), /nonsense.*--help lists them/);
  assert.throws(
    () => parseManagerOptions(["--state-dir", "/a b"], "/"),
    ({ message }: Error) => message.includes("--state-dir") && !message.includes("--api"),
  );
});

Deno.test("run-manager: an address without a port gets the cluster's", () => {
  assert.equal(withPort("pi.local"), "pi.local:2377");
  assert.equal(withPort("10.0.0.1:99"), "10.0.0.1:99");
  assert.equal(withPort("[::1]"), "[::1]:2377");
  assert.equal(withPort("fe80::1"), "[fe80::1]:2377");
});

Deno.test("run-manager: passes over entries by index and records by key, but not the cluster itself", () => {
  const flags = ["--skip-entry", "x", "--skip-record", "clusters/c", "--skip-record", "tasks"];
  assert.throws(() => parseManagerOptions(flags, "/here"), (error) => {
    assert.ok(error instanceof CoveyError);
    assert.deepEqual(error.problems.map(({ field }) => field), [
      "--skip-entry",
      "--skip-record",
      "--skip-record",
    ]);
    assert.match(error.message, /restore a backup/);
    return true;
  });
});
