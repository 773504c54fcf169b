import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { systemLookUp, withoutNames } from "../../../manager/process/look_up.ts";

const HOSTS: Record<string, string[]> = { "site-a.example": ["10.0.0.1", "10.0.0.2"], known: ["10.0.0.9"] };
const lookUp = (host: string) => Promise.resolve(HOSTS[host] ?? []);
const never = () => false;

Deno.test("Look up: a name becomes its addresses, an address stays as it is", async () => {
  const given = ["site-a.example:2377", "192.168.1.7:2377", "[fd00::1]:2377", "10.0.0.1:2377"];
  const found = await withoutNames(given, lookUp, never);
  assert.deepEqual(found, ["10.0.0.1:2377", "10.0.0.2:2377", "192.168.1.7:2377", "[fd00::1]:2377"]);
});

Deno.test("Look up: a name that may be dialed is left to the dial, which looks it up each time", async () => {
  const mayDial = (address: string) => address === "known:2377";
  assert.deepEqual(await withoutNames(["known:2377"], lookUp, mayDial), ["known:2377"]);
});

Deno.test("Look up: an unknown name is said", async () => {
  await assert.rejects(withoutNames(["nobody:2377"], lookUp, never), {
    code: "unavailable",
    message: "Cannot find the host nobody: its name is not known here",
  });
});

Deno.test("Look up: the system is asked, and never with what is no name", async () => {
  const ask = systemLookUp(fileURLToPath(new URL("../../../transport/look_up.sh", import.meta.url)));
  assert.ok((await ask("localhost")).includes("127.0.0.1"));
  for (const bad of ["", "-x", "a b", "a;id", "$(id)", "../x", "no-such-host.invalid"]) {
    assert.deepEqual(await ask(bad), [], bad);
  }
});
