import assert from "node:assert/strict";
import { modeOf } from "../../api/service.ts";
import { isNodeBound, slotKey, taskName } from "../../api/task.ts";

const ServiceAnnotations = { Name: "web", Labels: {} };

Deno.test("Task: it belongs to a node if it was made for one, not because of its slot's number", () => {
  const first = { ID: "t", ServiceID: "s", Slot: 0, NodeID: "n", ServiceAnnotations };
  assert.equal(isNodeBound(first), false);
  assert.equal(slotKey(first), "s/0");
  assert.equal(slotKey({ ...first, NodeID: "" }), "s/0");
  assert.equal(taskName(first), "web.0.t");
  const { Slot: _, ...bound } = first;
  assert.equal(isNodeBound(bound), true);
  assert.equal(slotKey(bound), "s/n");
  assert.equal(taskName(bound), "web.n.t");
});

Deno.test("Service: a mode is known by its name", () => {
  assert.equal(modeOf({ Mode: { Replicated: { Replicas: 2 } } }), "replicated");
  assert.equal(modeOf({ Mode: { Global: {} } }), "global");
});
