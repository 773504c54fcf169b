/** `covey swarm …` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import { TOKEN_VARIABLE } from "../../api/handed_token.ts";
import type { InfoView, SwarmView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import { collect, type Context, withClient } from "../context.ts";
import { readJoinToken } from "../join_token.ts";
import { parseChoice, parseCount } from "../units.ts";
import { lockCommands, printUnlockKey } from "./swarm_lock.ts";

const AVAILABILITIES = ["active", "pause", "drain"] as const;

/** Adds the `swarm` commands. */
export function swarmCommands(program: Command, context: Context): void {
  const swarm = program.command("swarm").description("Start, join and leave a cluster");
  init(swarm, context);
  join(swarm, context);
  joinToken(swarm, context);
  leave(swarm, context);
  lockCommands(swarm, context);
}

function init(swarm: Command, context: Context) {
  swarm.command("init").description("Start a cluster with this node as its first manager")
    .option("--advertise-addr <address>", "HOST[:PORT] that other nodes reach this one at")
    .option("--listen-addr <address>", "HOST:PORT to listen on")
    .option("--availability <availability>", '"active", "pause" or "drain"', "active")
    .option("--data-path-addr <address>", "address or interface for overlay networks")
    .option("--data-path-port <port>", "UDP port of overlay networks between nodes (default 4789)")
    .option(
      "--default-addr-pool <cidr>",
      "where networks get their addresses from; may be repeated",
      collect,
      [],
    )
    .option("--default-addr-pool-mask-length <bits>", "mask of a network's subnet", "24")
    .option("--autolock", "a manager that starts again asks for the unlock key")
    .option("--force-new-cluster", "make this manager the only one of a cluster that lost its quorum")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const nodeID = await client.post<string>("/swarm/init", {
          ListenAddr: options.listenAddr ?? "",
          AdvertiseAddr: options.advertiseAddr ?? "",
          DataPathAddr: options.dataPathAddr ?? "",
          DataPathPort: parseCount("data-path-port", options.dataPathPort ?? "0"),
          DefaultAddrPool: options.defaultAddrPool,
          SubnetSize: parseCount("default-addr-pool-mask-length", options.defaultAddrPoolMaskLength),
          ForceNewCluster: options.forceNewCluster ?? false,
          Availability: parseChoice("availability", options.availability, AVAILABILITIES),
          ...(options.autolock && { AutoLockManagers: true }),
          Spec: {},
        });
        context.output.write(
          options.forceNewCluster
            ? `This node (${nodeID}) is now the cluster's only manager.\n${AFTER_FORCE}`
            : `Swarm initialized: current node (${nodeID}) is now a manager.\n\n`,
        );
        await printJoinCommand(client, context, "worker");
        if (options.autolock) await printUnlockKey(client, context);
      })
    );
}

const AFTER_FORCE =
  "Never do this on a second manager. Managers of before that come back are out: have them leave " +
  "(`covey swarm leave --force`) and join anew.\n\n";

function join(swarm: Command, context: Context) {
  swarm.command("join").description("Join a cluster").argument("<host:port>", "a manager of the cluster")
    .option(
      "--token-file <file>",
      "its first line is the join token, from `covey swarm join-token` on a manager",
    )
    .option("--token <token>", "the join token; - reads it from standard input, as other users can see flags")
    .option("--advertise-addr <address>", "HOST[:PORT] that other nodes reach this one at")
    .option("--listen-addr <address>", "HOST:PORT to listen on")
    .option("--data-path-addr <address>", "address or interface for overlay networks")
    .option("--availability <availability>", '"active", "pause" or "drain"', "active")
    .action((address: string, options, command) =>
      withClient(context, command, async (client) => {
        await client.post("/swarm/join", {
          RemoteAddrs: [address],
          JoinToken: await readJoinToken(options, context),
          AdvertiseAddr: options.advertiseAddr ?? "",
          ListenAddr: options.listenAddr ?? "",
          DataPathAddr: options.dataPathAddr ?? "",
          Availability: parseChoice("availability", options.availability, AVAILABILITIES),
        });
        const { Swarm } = await client.get<InfoView>("/info");
        context.output.write(
          `This node joined a swarm as a ${Swarm.ControlAvailable ? "manager" : "worker"}.\n`,
        );
      })
    );
}

function joinToken(swarm: Command, context: Context) {
  swarm.command("join-token").description("Show or rotate the token that lets nodes join").argument(
    "<worker|manager>",
  )
    .option("--rotate", "make a new token; the old one stops working, nodes that joined with it stay")
    .option("-q, --quiet", "only the token")
    .action((role: string, options, command) =>
      withClient(context, command, async (client) => {
        const which = parseChoice("role", role, ["worker", "manager"] as const);
        if (options.rotate) {
          const { Version, Spec } = await client.get<SwarmView>("/swarm");
          const rotate = which === "worker" ? { rotateWorkerToken: true } : { rotateManagerToken: true };
          await client.post("/swarm/update", Spec, { version: Version.Index, ...rotate });
          if (!options.quiet) context.output.write(`Successfully rotated ${which} join token.\n\n`);
        }
        if (options.quiet) context.output.write(`${await tokenOf(client, which)}\n`);
        else await printJoinCommand(client, context, which);
      })
    );
}

async function tokenOf(client: ControlClient, role: "worker" | "manager"): Promise<string> {
  const { JoinTokens } = await client.get<SwarmView>("/swarm");
  return role === "worker" ? JoinTokens.Worker : JoinTokens.Manager;
}

async function printJoinCommand(
  client: ControlClient,
  context: Context,
  role: "worker" | "manager",
): Promise<void> {
  const [token, info] = await Promise.all([tokenOf(client, role), client.get<InfoView>("/info")]);
  const manager = info.Swarm.RemoteManagers?.find(({ NodeID }) => NodeID === info.Swarm.NodeID) ??
    info.Swarm.RemoteManagers?.[0];
  if (!manager) {
    throw new CoveyError(
      "unavailable",
      "Cannot show the join command: the manager does not know its own address yet",
    );
  }
  const flags = `--state-dir /var/lib/covey --join ${manager.Addr} --token -`;
  const program = role === "worker"
    ? `deno task run-agent ${flags}`
    : `deno task run-manager --state-dir /var/lib/covey --api /run/covey/covey.sock --join ${manager.Addr} --token -`;
  // A task of deno fetches every package first: where a network swallows all, for a minute or more and without a word.
  const launcher = role === "worker"
    ? `or, where its network does not lead to the package registry:\n\n    sh agent/launch.sh ${flags}\n\n`
    : "";
  const installer = `sh install.sh ${role === "worker" ? "" : "--manager "}--join ${manager.Addr} --token -`;
  context.output.write(
    `To add a ${role} to this swarm, run on the device:\n\n    ${program}\n\n${launcher}` +
      `or install it there from a bundle:\n\n    ${installer}\n\n${GIVE_TOKEN}    ${token}\n\n`,
  );
}

/** Among the flags, everybody on the device could read it for as long as the program runs. */
const GIVE_TOKEN =
  "and give it this token as a line on its standard input. A file (--token-file FILE) or the variable " +
  `${TOKEN_VARIABLE} will do as well:\n\n`;

function leave(swarm: Command, context: Context) {
  swarm.command("leave").description("Leave the cluster")
    .option("-f, --force", "also if this is a manager and the cluster would be lost")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        await client.post("/swarm/leave", undefined, { force: options.force ? "1" : undefined });
        context.output.write("Node left the swarm.\n");
      })
    );
}
