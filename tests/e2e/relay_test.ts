/** Devices behind address translation, of which nobody reaches the other: their programs do, through the manager. */
import assert from "node:assert/strict";
import type { NodeView, TaskView } from "../../cli/api_types.ts";
import { DeviceHosts, noDeviceHosts } from "../support/device_hosts.ts";
import { limited } from "../support/limited.ts";
import { ROOT } from "../support/programs.ts";

const WHY_NOT = noDeviceHosts();
if (WHY_NOT !== "") console.log(`without devices on hosts of their own: ${WHY_NOT}`);

const PORT = 80;
/** More than one piece, and a second's worth of what a node may have relayed. */
const FILE_BYTES = 1_500_000;
/** Says on which device it runs, and has a file. */
const SERVE = `hostname=$DEVICE; echo $hostname >index.html; head -c ${FILE_BYTES} /dev/zero >file; ` +
  `exec busybox httpd -f -p ${PORT} -h .`;

interface Shown extends NodeView {
  Metrics?: { Relay?: { Open: number; Opened: number; FromNode: number; ToNode: number } };
}

async function nodes(hosts: DeviceHosts): Promise<Map<string, Shown>> {
  const listed = await hosts.client.get<NodeView[]>("/nodes");
  const shown = await Promise.all(listed.map(({ ID }) => hosts.client.get<Shown>(`/nodes/${ID}`)));
  return new Map(shown.map((node) => [node.Description?.Hostname ?? "", node]));
}

/** What a script prints in the network of the service's program on a device, with its names; and how it ended. */
function inside(
  hosts: DeviceHosts,
  host: number,
  space: string,
  script: string,
): { text: string; code: number } {
  // Where the agent is, whose mounts are its own.
  const launcher = [
    `${ROOT}agent/launch.sh`,
    "--print-running",
    "--state-dir",
    `${hosts.folder}/device-${host}`,
  ];
  const agent = new TextDecoder().decode(new Deno.Command("sh", { args: launcher }).outputSync().stdout)
    .trim();
  const names = `mount --bind /run/covey-names/${space} /etc/resolv.conf`;
  const net = ["nsenter", `--net=/run/netns/${space}`, "unshare", "-m", "sh", "-c", `${names}; ${script}`];
  const [program, args] = limited("nsenter", ["-t", agent, "-m", ...net]);
  const { stdout, code } = new Deno.Command(program, { args, stderr: "null" }).outputSync();
  return { text: new TextDecoder().decode(stdout), code };
}

const ask = (url: string, times = 1) => `for i in $(seq ${times}); do curl -s -m 20 http://${url}; done`;

Deno.test({
  name:
    "Relay: devices behind two NATs serve and use a service through the manager, those of one site directly",
  ignore: WHY_NOT !== "", // the reason is printed
  fn: async () => {
    const hosts = new DeviceHosts(3);
    try {
      await hosts.startManager();
      // 1 is behind one router, 2 and 3 behind another; 1 and 2 have the same address there.
      hosts.network.putBehind(1, hosts.router);
      hosts.network.putBehind(2, hosts.road);
      hosts.network.putBehind(3, hosts.road);
      for (const host of hosts.devices) hosts.startAgent(host);
      await hosts.untilReady();
      await hosts.until(
        "all can have networks",
        async () => {
          const found = await nodes(hosts);
          return hosts.devices.every((host) =>
            found.get(`device-${host}`)?.Description?.OverlayRuntimes?.includes("process")
          );
        },
      );
      const spaces = await startServices(hosts);
      await checkRelay(hosts, spaces);
      await checkFile(hosts, spaces);
      await checkClosed(hosts, spaces);
      for (const { ID } of await hosts.client.get<{ ID: string }[]>("/services")) {
        await hosts.client.delete(`/services/${ID}`);
      }
      await hosts.until("nothing of it is left", async () => {
        const tasks = await hosts.client.get<TaskView[]>("/tasks");
        const left = [...Deno.readDirSync("/run/netns")].filter(({ name }) =>
          [...spaces.values()].includes(name)
        );
        return tasks.length === 0 && left.length === 0;
      });
    } finally {
      await hosts.remove();
    }
  },
});

/** A service in a network that allows the relay, one in a network that does not; the namespaces by device and service. */
async function startServices(hosts: DeviceHosts): Promise<Map<string, string>> {
  const spaces = new Map<string, string>();
  for (const [name, Options] of [["web", { "covey.relay": "on" }], ["alone", {}]] as const) {
    const { Id } = await hosts.client.post<{ Id: string }>("/networks/create", {
      Name: `of-${name}`,
      Driver: "overlay",
      Options,
    });
    await hosts.client.post("/services/create", {
      Name: name,
      TaskTemplate: {
        Runtime: "process",
        ProcessSpec: {
          Command: "sh",
          Args: ["-c", SERVE],
          Env: ["DEVICE={{.Node.Hostname}}"],
          StopGracePeriod: 1e9,
        },
        Networks: [{ Target: Id }],
      },
      Mode: { Global: {} },
    });
  }
  await hosts.until("all of it runs", async () => {
    const tasks = await hosts.client.get<TaskView[]>("/tasks"), all = await nodes(hosts);
    const services = await hosts.client.get<{ ID: string; Spec: { Name: string } }[]>("/services");
    for (const host of hosts.devices) {
      const node = all.get(`device-${host}`)!.ID;
      for (const { ID, Spec: { Name } } of services) {
        const task = tasks.find((each) =>
          each.NodeID === node && each.ServiceID === ID && each.Status.State === "running"
        );
        if (task === undefined) return false;
        spaces.set(`${host} ${Name}`, `covey-${node}-${task.ID}`);
      }
    }
    return true;
  });
  return spaces;
}

async function checkRelay(hosts: DeviceHosts, spaces: Map<string, string>): Promise<void> {
  const all = ["device-1", "device-2", "device-3"];
  for (const host of hosts.devices) {
    const space = spaces.get(`${host} web`)!;
    await hosts.until(`device ${host} finds all by one address`, () => {
      const found = inside(hosts, host, space, ask("web", 15)).text.trim().split("\n");
      return all.every((name) => found.includes(name));
    });
  }
  const relayed = await nodes(hosts);
  for (const name of all) assert.ok((relayed.get(name)?.Metrics?.Relay?.Opened ?? 0) > 0, name);
  // What is at one site needs nobody.
  const two = hosts.devices.map((host) => relayed.get(`device-${host}`)!.Metrics!.Relay!.Opened);
  const addresses = taskAddresses(await hosts.client.get<TaskView[]>("/tasks"), relayed.get("device-2")!.ID);
  for (const address of addresses) inside(hosts, 3, spaces.get("3 web")!, ask(address));
  const after = await nodes(hosts);
  assert.deepEqual(hosts.devices.map((host) => after.get(`device-${host}`)!.Metrics!.Relay!.Opened), two);
  // A port at which nothing listens is no connection that hangs.
  const shut = inside(hosts, 1, spaces.get("1 web")!, `curl -s -m 20 http://${addresses[0]}:81/`);
  assert.ok([52, 56].includes(shut.code), `${shut.code}`);
}

function taskAddresses(tasks: TaskView[], nodeID: string): string[] {
  const attached = tasks as (TaskView & {
    NetworksAttachments?: { Addresses: string[]; Network: { Spec: { Name: string } } }[];
  })[];
  return attached.filter(({ NodeID }) => NodeID === nodeID).flatMap(({ NetworksAttachments = [] }) =>
    NetworksAttachments.filter(({ Network }) => Network.Spec.Name === "of-web").map(({ Addresses }) =>
      Addresses[0]!.split("/", 1)[0]!
    )
  );
}

/** Whole, and counted at both ends. */
async function checkFile(hosts: DeviceHosts, spaces: Map<string, string>): Promise<void> {
  const before = await nodes(hosts);
  const [address = ""] = taskAddresses(
    await hosts.client.get<TaskView[]>("/tasks"),
    before.get("device-2")!.ID,
  );
  const { text } = inside(hosts, 1, spaces.get("1 web")!, `${ask(`${address}/file`)} | wc -c`);
  assert.equal(Number(text), FILE_BYTES);
  const after = await nodes(hosts);
  const of = (all: Map<string, Shown>, name: string) => all.get(name)!.Metrics!.Relay!;
  assert.ok(of(after, "device-2").FromNode - of(before, "device-2").FromNode > FILE_BYTES);
  assert.ok(of(after, "device-1").ToNode - of(before, "device-1").ToNode > FILE_BYTES);
  await hosts.until("all connections are over", async () => of(await nodes(hosts), "device-1").Open === 0);
}

/** A network that does not say so has no relay. */
async function checkClosed(hosts: DeviceHosts, spaces: Map<string, string>): Promise<void> {
  const opened = async () => (await nodes(hosts)).get("device-1")!.Metrics!.Relay!.Opened;
  const before = await opened();
  const found =
    inside(hosts, 1, spaces.get("1 alone")!, "for i in 1 2 3 4; do curl -s -m 1 http://alone; done; true")
      .text;
  assert.doesNotMatch(found, /device-[23]/);
  assert.equal(await opened(), before);
}
