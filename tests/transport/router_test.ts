import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { parseAddress } from "../../transport/address.ts";
import type { Access, Method } from "../../transport/types.ts";
import { identityOf, routerOf } from "../support/transport.ts";

const manager = identityOf("m1", "swarm-manager");
const worker = identityOf("w1");
const of = (access: Access): Method => ({ kind: "unary", access, handler: () => Promise.resolve(1) });
const router = routerOf({ "x.any": of("anyone"), "x.node": of("node"), "x.manager": of("manager") });

function outcome(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (error) {
    return (error as CoveyError).code;
  }
}

Deno.test("Router: every access by every role", () => {
  const table = router.methods().map(({ name, kind }) =>
    [undefined, worker, manager].map((peer) => outcome(() => router.resolve(name, kind, peer)))
  );
  assert.deepEqual(router.methods().map((method) => method.name), ["x.any", "x.manager", "x.node"]);
  assert.deepEqual(table, [
    ["ok", "ok", "ok"],
    ["unauthenticated", "permission_denied", "ok"],
    ["unauthenticated", "ok", "ok"],
  ]);
});

Deno.test("Router: a refusal names the method and the role", () => {
  assert.throws(() => router.resolve("x.manager", "unary", worker), {
    message: "Cannot call x.manager: it needs role swarm-manager, the caller w1 has swarm-worker",
  });
});

Deno.test("Router: only managers forward, and the forwarded node's role decides", () => {
  assert.equal(outcome(() => router.resolve("x.manager", "unary", manager, worker)), "permission_denied");
  assert.equal(outcome(() => router.resolve("x.node", "unary", manager, worker)), "ok");
  assert.equal(outcome(() => router.resolve("x.any", "unary", worker, manager)), "permission_denied");
  assert.equal(outcome(() => router.resolve("x.any", "unary", undefined, manager)), "permission_denied");
});

Deno.test("Router: unknown methods, wrong shapes, bad and taken names", () => {
  assert.equal(outcome(() => router.resolve("x.none", "unary", manager)), "unimplemented");
  assert.equal(outcome(() => router.resolve("x.any", "server_stream", manager)), "invalid_argument");
  assert.equal(outcome(() => router.register("x.any", of("anyone"))), "already_exists");
  assert.equal(outcome(() => router.register("Any", of("anyone"))), "invalid_argument");
});

Deno.test("parseAddress: reads names, IPv4 and bracketed IPv6, and refuses the rest", () => {
  assert.deepEqual(parseAddress("node-1.lan:2377"), { host: "node-1.lan", port: 2377 });
  assert.deepEqual(parseAddress("[fe80::1]:0"), { host: "fe80::1", port: 0 });
  assert.deepEqual(parseAddress(":2377"), { host: "", port: 2377 });
  for (const bad of ["", "host", "host:", "host:65536", "::1:2377", "[::1]", "a b:1", "http://x:1"]) {
    assert.equal(outcome(() => parseAddress(bad)), "invalid_argument", bad);
  }
});
