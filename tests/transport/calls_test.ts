import assert from "node:assert/strict";
import { CoveyError } from "../../api/errors.ts";
import { errorFromWire, errorToWire } from "../../transport/wire_error.ts";
import type { CallContext, Method } from "../../transport/types.ts";
import { settle } from "../support/fake_clock.ts";
import { withLink } from "../support/memory_cluster.ts";
import { identityOf, until } from "../support/transport.ts";

const unary = (handler: (request: unknown, context: CallContext) => Promise<unknown>): Method => ({
  kind: "unary",
  access: "anyone",
  handler,
});
const echo = unary((request) => Promise.resolve(request));
const never = () => new Promise<never>(() => {});

/** A method that hangs until it is aborted, and tells how. */
function hanging(): { method: Method; reasons: string[] } {
  const reasons: string[] = [];
  const method = unary((_request, { signal }) =>
    new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => {
        reasons.push(signal.reason.code);
        reject(signal.reason);
      })
    )
  );
  return { method, reasons };
}

Deno.test("Call: request and response cross, many at once, in pieces of one byte", async () => {
  await withLink({ "t.echo": echo }, async ({ connection }) => {
    const requests = Array.from({ length: 50 }, (_, i) => ({ N: i, Bytes: new Uint8Array([i]) }));
    const answers = await Promise.all(requests.map((request) => connection.call("t.echo", request)));
    assert.deepEqual(answers, requests);
    assert.equal(await connection.call("t.echo", undefined), undefined);
  }, { pieceBytes: 1 });
});

Deno.test("Call: the handler sees who calls, for whom, and until when", async () => {
  let seen: CallContext | undefined;
  const look = unary((_request, context) => (seen = context, Promise.resolve(null)));
  const manager = identityOf("m2", "swarm-manager");
  await withLink({ "t.look": look }, async ({ connection, clock }) => {
    await connection.call("t.look", null, { timeoutMs: 500, forwardedFor: identityOf("w9") });
    assert.deepEqual(seen?.peer, manager);
    assert.deepEqual(seen?.forwardedFor, identityOf("w9"));
    assert.equal(seen?.deadline, clock.monotonic() + 500);
    assert.match(seen?.remoteAddress ?? "", /^worker:\d+$/);
  }, { dialer: manager });
});

Deno.test("Call: an error crosses with code, message, reason and problems, without its cause", async () => {
  const problems = [{ field: "Name", message: "is empty" }];
  const bad = unary(() => {
    throw new CoveyError("aborted", "Cannot write: stale", {
      retryable: true,
      reason: "outcome_unknown",
      problems,
      cause: new Error("secret"),
    });
  });
  const odd = unary(() => Promise.reject(new TypeError("x is not a function")));
  await withLink({ "t.bad": bad, "t.odd": odd }, async ({ connection }) => {
    const error = await connection.call("t.bad", 1).catch((error) => error);
    assert.ok(error instanceof CoveyError);
    assert.deepEqual({ ...error, message: error.message, cause: error.cause }, {
      name: "CoveyError",
      code: "aborted",
      message: "Cannot write: stale",
      retryable: true,
      reason: "outcome_unknown",
      problems,
      cause: undefined,
    });
    await assert.rejects(connection.call("t.odd", 1), { code: "internal", reason: undefined });
  });
});

Deno.test("Call: the other end's reason is one of ours, and never that this call was not sent", () => {
  const reasons = ["not_leading", "made_up", "toString", 7, "unsent"];
  assert.deepEqual(
    reasons.map((reason) => errorFromWire({ code: "unavailable", message: "m", reason }).reason),
    ["not_leading", undefined, undefined, undefined, undefined],
  );
  const lower = new CoveyError("unavailable", "Cannot call x: it is gone", { reason: "unsent" });
  assert.equal("reason" in errorToWire(lower), false);
});

Deno.test("Call: without certificate only what anyone may call, and the handler does not run", async () => {
  let ran = 0;
  const count = (access: Method["access"]): Method => ({
    kind: "unary",
    access,
    handler: async () => await ++ran,
  });
  const methods = { "t.any": count("anyone"), "t.node": count("node"), "t.manager": count("manager") };
  await withLink(methods, async ({ connection }) => {
    await assert.rejects(connection.call("t.node", 1), { code: "unauthenticated" });
    await assert.rejects(connection.call("t.manager", 1), { code: "unauthenticated" });
    await assert.rejects(connection.call("t.none", 1), { code: "unimplemented" });
    assert.equal(await connection.call("t.any", 1), 1);
  }, { dialer: null });
  await withLink(methods, async ({ connection }) => {
    await assert.rejects(connection.call("t.manager", 1), {
      code: "permission_denied",
      message: /t\.manager.*swarm-worker/,
    });
    assert.equal(await connection.call("t.node", 1), 2);
  });
});

Deno.test("Call: canceling fails it here at once and aborts the handler there", async () => {
  const { method, reasons } = hanging();
  await withLink({ "t.hang": method, "t.echo": echo }, async ({ connection }) => {
    const controller = new AbortController();
    const call = connection.call("t.hang", 1, { signal: controller.signal });
    await settle();
    controller.abort();
    await assert.rejects(call, { code: "canceled" });
    await until(() => reasons.length > 0);
    assert.deepEqual(reasons, ["canceled"]);
    await assert.rejects(connection.call("t.hang", 1, { signal: controller.signal }), { code: "canceled" });
    assert.equal(await connection.call("t.echo", "still alive"), "still alive");
  });
});

Deno.test("Call: an answer that crosses the cancellation is dropped", async () => {
  let answer = (_value: unknown) => {};
  const slow = unary(() => new Promise((resolve) => answer = resolve));
  await withLink({ "t.slow": slow, "t.echo": echo }, async ({ connection }) => {
    const controller = new AbortController();
    const call = connection.call("t.slow", 1, { signal: controller.signal });
    await settle();
    answer("late");
    controller.abort();
    await assert.rejects(call, { code: "canceled" });
    assert.equal(await connection.call("t.echo", 2), 2);
  });
});

Deno.test("Call: the deadline passes at both ends", async () => {
  const { method, reasons } = hanging();
  await withLink({ "t.hang": method }, async ({ connection, clock }) => {
    const call = connection.call("t.hang", 1, { timeoutMs: 1000 });
    const failed = assert.rejects(call, {
      code: "deadline_exceeded",
      reason: "outcome_unknown",
    });
    await clock.advance(1000);
    await failed;
    await until(() => reasons.length > 0);
    await assert.rejects(connection.call("t.hang", 1, { timeoutMs: 0 }), { reason: "unsent" });
  });
});

Deno.test("Call: a broken connection fails open calls as retryable with outcome unknown, later ones as not sent", async () => {
  const { method, reasons } = hanging();
  await withLink({ "t.hang": method }, async ({ connection, accepted, network }) => {
    const call = connection.call("t.hang", 1);
    const failed = assert.rejects(call, { code: "unavailable", retryable: true, reason: "outcome_unknown" });
    await settle();
    network.setLink("worker", "manager", "cut");
    await failed;
    await until(() => reasons.length > 0);
    await assert.rejects(connection.call("t.hang", 1), {
      code: "unavailable",
      retryable: true,
      reason: "unsent",
    });
    assert.equal((await connection.closed)?.code, "unavailable");
    assert.equal((await accepted.closed)?.code, "unavailable");
  });
});

Deno.test("Call: closing tells the other end why", async () => {
  await withLink({ "t.hang": unary(never) }, async ({ connection, accepted }) => {
    const call = connection.call("t.hang", 1);
    const failed = assert.rejects(call, { code: "unavailable", message: /leadership moved/ });
    await settle();
    accepted.close("leadership moved");
    await failed;
    assert.match((await connection.closed)!.message, /leadership moved/);
    assert.equal(await accepted.closed, undefined);
  });
});

Deno.test("Call: either end calls the other, if it offers methods", async () => {
  await withLink({ "t.echo": echo }, async ({ connection, accepted }) => {
    assert.equal(await accepted.call("t.back", 5), 5);
    assert.equal(await connection.call("t.echo", 6), 6);
  }, { offered: { "t.back": echo } });
  await withLink({ "t.echo": echo }, async ({ accepted }) => {
    await assert.rejects(accepted.call("t.back", 5), { code: "unimplemented" });
  });
});

Deno.test("Call: too many open calls are refused, and a canceled one counts until its handler ends", async () => {
  let finish = () => {};
  const stubborn = unary(() => new Promise<void>((resolve) => finish = resolve));
  await withLink({ "t.stubborn": stubborn, "t.echo": echo }, async ({ connection }) => {
    const controller = new AbortController();
    const first = connection.call("t.stubborn", 1, { signal: controller.signal });
    await settle();
    await assert.rejects(connection.call("t.echo", 1), { code: "resource_exhausted", retryable: true });
    controller.abort();
    await assert.rejects(first);
    await assert.rejects(connection.call("t.echo", 1), { code: "resource_exhausted", retryable: true });
    finish();
    await settle();
    assert.equal(await connection.call("t.echo", 1), 1);
  }, { limits: { maxConcurrentStreams: 1 } });
});

Deno.test("Call: what cannot be sent fails its own call only, at either end", async () => {
  const methods = {
    "t.date": unary(() => Promise.resolve(new Date())),
    "t.big": unary(() => Promise.resolve(new Uint8Array(5000))),
    "t.echo": echo,
  };
  await withLink(methods, async ({ connection }) => {
    await assert.rejects(connection.call("t.echo", new Date()), { code: "invalid_argument" });
    await assert.rejects(connection.call("t.echo", new Uint8Array(5000)), { code: "resource_exhausted" });
    await assert.rejects(connection.call("t.date", 1), { code: "invalid_argument" });
    await assert.rejects(connection.call("t.big", 1), { code: "resource_exhausted" });
    assert.equal(await connection.call("t.echo", 1), 1);
  }, { limits: { maxFrameBytes: 4096 } });
});

Deno.test("Call: waits while too much is queued, then goes on in order", async () => {
  const order: number[] = [];
  const note = unary((request) => (order.push((request as { N: number }).N), Promise.resolve(null)));
  await withLink({ "t.note": note }, async ({ connection, network }) => {
    network.setLink("worker", "manager", "stalled");
    const calls = Array.from(
      { length: 20 },
      (_, N) => connection.call("t.note", { N, Fill: new Uint8Array(1000) }),
    );
    await settle();
    assert.deepEqual(order, []);
    network.setLink("worker", "manager", "up");
    await Promise.all(calls);
    assert.deepEqual(order, [...Array(20).keys()]);
  }, { limits: { maxQueuedBytes: 3000 } });
});
