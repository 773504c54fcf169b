import assert from "node:assert/strict";
import {
  advertiseAddress,
  followMachine,
  hostOf,
  isForeign,
  movedAddresses,
  portOf,
  requestedAddresses,
} from "../../../manager/process/addresses.ts";

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

Deno.test("Advertised address: a request names an address or an interface, and all else is refused in Docker's words", () => {
  const interfaces = [v4("lo", "127.0.0.1"), v4("eth0", "192.0.2.7")];
  const ask = (ListenAddr: string, AdvertiseAddr = "") =>
    requestedAddresses(
      { ListenAddr, AdvertiseAddr },
      { listen: undefined, advertise: undefined },
      interfaces,
    );
  assert.deepEqual(ask("eth0:99"), { listen: "192.0.2.7:99", advertise: "192.0.2.7:99" });
  assert.deepEqual(ask("0.0.0.0:99", "eth0"), { listen: "0.0.0.0:99", advertise: "192.0.2.7:99" });
  assert.deepEqual(ask("[::1]:99", "pi.local:5"), { listen: "[::1]:99", advertise: "pi.local:5" });
  for (const wrong of ["x:y:z", "eth1:99", "eth1", "10.0.0.1:x", "10.0.0.1:70000", "a b"]) {
    assert.throws(
      () => ask(wrong),
      /^CoveyError: listen address must be an IP address or network interface/,
      wrong,
    );
  }
  for (const wrong of ["0.0.0.0", "[::]:2377", "eth1", "foo:bar:1", "300.1.1.1"]) {
    assert.throws(
      () => ask("eth0:99", wrong),
      /^CoveyError: advertise address must be a non-zero IP address/,
      wrong,
    );
  }
});

Deno.test("Data path address: of the request, else of the flags; an interface counts for its address, a later start may name another", () => {
  const interfaces = [v4("eth0", "192.0.2.7"), v4("wg0", "10.8.0.7")];
  const ask = (DataPathAddr: string, dataPath?: string) =>
    requestedAddresses(
      { DataPathAddr },
      { listen: undefined, advertise: "192.0.2.7:1", dataPath },
      interfaces,
    ).dataPath;
  assert.equal(ask(""), undefined);
  assert.equal(ask("wg0"), "10.8.0.7");
  assert.equal(ask("", "10.8.0.7"), "10.8.0.7");
  assert.equal(ask("192.0.2.7", "wg0"), "192.0.2.7");
  for (const wrong of ["eth1", "0.0.0.0", "10.8.0.7:1"]) {
    assert.throws(
      () => ask(wrong),
      /data path address must be a non-zero IP address or network interface/,
      wrong,
    );
  }
  const before = { listen: "0.0.0.0:1", advertise: "192.0.2.7:1", dataPath: "10.8.0.7" };
  const moved = (dataPath?: string) =>
    movedAddresses(before, { listen: undefined, advertise: undefined, dataPath }, () => interfaces);
  assert.deepEqual(moved(), before);
  assert.deepEqual(moved("eth0"), { ...before, dataPath: "192.0.2.7" });
});

Deno.test("Moved machine: an address that was its own and is gone gives way to its only other one; what a NAT has stays", () => {
  const before = { listen: "0.0.0.0:1", advertise: "192.0.2.7:1", dataPath: "192.0.2.7" };
  const here = followMachine(before, [v4("eth0", "192.0.2.7"), v4("wlan0", "192.0.2.77")]);
  assert.deepEqual(here, { ...before, ownHosts: ["192.0.2.7"] });
  const now = [v4("lo", "127.0.0.1"), v4("eth0", "192.0.2.8"), v4("docker0", "172.17.0.1")];
  assert.deepEqual(followMachine(here, now), {
    listen: "0.0.0.0:1",
    advertise: "192.0.2.8:1",
    dataPath: "192.0.2.8",
    ownHosts: ["192.0.2.7", "192.0.2.8"],
  });
  // It was never the machine's own, there is no other one, or more than one.
  assert.deepEqual(followMachine(before, now), before);
  assert.deepEqual(followMachine(here, [v4("lo", "127.0.0.1")]), here);
  assert.deepEqual(followMachine(here, [...now, v4("eth1", "192.0.2.9")]), here);
});
