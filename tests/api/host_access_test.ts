import assert from "node:assert/strict";
import { accessOf, labelledAccess } from "../../api/host_access.ts";
import type { FieldProblem } from "../../api/errors.ts";
import { parseServiceSpec } from "../../api/validate/mod.ts";
import { containerTask } from "../conformance/docker_fixture.ts";

const NOTHING = { devices: [], privileged: false };

Deno.test("Host access: devices are written as docker run takes them, with blanks or without", () => {
  const problems: FieldProblem[] = [];
  const devices = "/dev/ttyUSB0, /dev/video0:/dev/camera:r,/dev/dri:rw,/dev/snd:/dev/snd";
  const labels = { "covey.devices": devices, "covey.privileged": "true" };
  assert.deepEqual(labelledAccess(labels, "", problems), {
    devices: [
      { path: "/dev/ttyUSB0", inContainer: "/dev/ttyUSB0", permissions: "rwm" },
      { path: "/dev/video0", inContainer: "/dev/camera", permissions: "r" },
      { path: "/dev/dri", inContainer: "/dev/dri", permissions: "rw" },
      { path: "/dev/snd", inContainer: "/dev/snd", permissions: "rwm" },
    ],
    privileged: true,
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(labelledAccess({ "covey.privileged": "false" }, "", problems), NOTHING);
  assert.deepEqual(labelledAccess(undefined, "", problems), NOTHING);
});

Deno.test("Host access: what is no device is refused by its label when the service is made", () => {
  const attempt = (Labels: Record<string, string>) =>
    parseServiceSpec({ Name: "a", TaskTemplate: { ContainerSpec: { Image: "busybox", Labels } } });
  const bad = ["", "/etc/passwd", "ttyUSB0", "/dev/", "/dev/../etc/passwd", "/dev/a/./b", "/dev/a b"];
  for (const word of [...bad, "/dev/a:b", "/dev/a:/x:rr", "/dev/a:/x:rwm:y", "/dev/a\n/dev/b", "/dev/a,"]) {
    assert.throws(
      () => attempt({ "covey.devices": word }),
      /TaskTemplate.ContainerSpec.Labels.covey.devices: must be \/dev\/PATH/,
      word,
    );
  }
  assert.throws(() => attempt({ "covey.devices": Array(65).fill("/dev/a").join() }), /at most 64/);
  assert.throws(
    () => attempt({ "covey.privileged": "yes" }),
    /Labels.covey.privileged: must be true or false: current value is "yes"/,
  );
  attempt({ "covey.devices": "/dev/a", "covey.privileged": "true", "covey.other": "x" });
});

Deno.test("Host access: paths that a task claimed are among what it asks for", () => {
  const task = containerTask({ Labels: { "covey.devices": "/dev/b" } });
  task.AssignedGenericResources = [
    { NamedResourceSpec: { Kind: "dev", Value: "/dev/a" } },
    { NamedResourceSpec: { Kind: "gpu", Value: "one" } },
    { DiscreteResourceSpec: { Kind: "dev", Value: 1 } },
  ];
  assert.deepEqual(accessOf(task).devices.map(({ path }) => path), ["/dev/a", "/dev/b"]);
});
