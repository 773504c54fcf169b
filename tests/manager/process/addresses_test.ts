import assert from "node:assert/strict";
import { advertiseAddress, hostOf, isForeign, portOf } from "../../../manager/process/addresses.ts";

const v4 = (name: string, address: string) => ({ name, family: "IPv4", address });

Deno.test("Advertised address: what a flag says wins, with the listen port where it has none", () => {
  assert.equal(advertiseAddress("10.0.0.1", "0.0.0.0:99", []), "10.0.0.1:99");
  assert.equal(advertiseAddress("10.0.0.1:5", "0.0.0.0:99", []), "10.0.0.1:5");
});

Deno.test("Advertised address: one host listened on is advertised as it is", () => {
  assert.equal(advertiseAddress(undefined, "10.0.0.1:99", []), "10.0.0.1:99");
});

Deno.test("Advertised address: else the only address that leads outside", () => {
  const interfaces = [v4("lo", "127.0.0.1"), v4("docker0", "172.17.0.1"), v4("eth0", "10.0.0.7")];
  assert.equal(advertiseAddress(undefined, "0.0.0.0:2377", interfaces), "10.0.0.7:2377");
  assert.equal(advertiseAddress(undefined, "[::]:2377", [v4("lo", "127.0.0.1")]), "127.0.0.1:2377");
});

Deno.test("Advertised address: several candidates are an error that names them", () => {
  const interfaces = [v4("eth0", "10.0.0.7"), v4("wlan0", "192.168.1.7")];
  assert.throws(
    () => advertiseAddress(undefined, "0.0.0.0:2377", interfaces),
    /10\.0\.0\.7 \(eth0\), 192\.168\.1\.7 \(wlan0\)/,
  );
});

Deno.test("Advertised address: host and port come apart, brackets included", () => {
  assert.equal(hostOf("[fe80::1]:2377"), "fe80::1");
  assert.equal(portOf("[fe80::1]:2377"), 2377);
});

Deno.test("Advertised address: one that no interface has is foreign; names and the loopback are not judged", () => {
  const interfaces = [v4("lo", "127.0.0.1"), v4("eth0", "192.0.2.7")];
  assert.deepEqual(
    ["192.0.2.7:2377", "192.0.2.8:2377", "127.0.0.2:2377", "pi.local:2377", "[2001:db8::1]:2377"]
      .filter((address) => isForeign(address, interfaces)),
    ["192.0.2.8:2377"],
  );
});
