/** `covey network …` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import { contains, parseBlock, parseIPv4 } from "../../api/ipv4.ts";
import { type IPAMConfig, OVERLAY_DRIVER } from "../../api/network.ts";
import { collect, type Context, forEachReference, listFlags, withClient } from "../context.ts";
import { parseFilters } from "../lookup.ts";
import { printList, printObjects, shownID, sortedByName } from "../output.ts";
import { parseLabels } from "../units.ts";

/** As shown, as far as it is read here: the swarm's networks and the engine's alike. */
interface NetworkView {
  Id: string;
  Name: string;
  Driver: string;
  Scope: string;
}

/** Adds the `network` commands. */
export function networkCommands(program: Command, context: Context): void {
  const network = program.command("network").description("Manage networks");
  create(network, context);
  list(network, context);
  inspect(network, context);
  remove(network, context);
}

function create(group: Command, context: Context) {
  group.command("create").description("Create a network between nodes").argument("<name>")
    .option("-d, --driver <driver>", "driver of the network", OVERLAY_DRIVER)
    .option("--attachable", "containers that belong to no service may be attached")
    .option("--internal", "no way out of the network")
    .option("--ingress", "published ports reach tasks over it")
    .option("--subnet <cidr>", "addresses of the network; may be repeated", collect, [])
    .option("--ip-range <cidr>", "part of a subnet that tasks get their addresses from", collect, [])
    .option("--gateway <address>", "gateway of a subnet", collect, [])
    .option("--aux-address <name=address>", "address of a subnet that nothing gets", collect, [])
    .option("-o, --opt <key=value>", "option of the driver", collect, [])
    .option("--label <key=value>", "label of the network", collect, [])
    .action((Name: string, options, command) =>
      withClient(context, command, async (client) => {
        const { Id } = await client.post<{ Id: string }>("/networks/create", {
          Name,
          Driver: options.driver,
          Attachable: options.attachable ?? false,
          Internal: options.internal ?? false,
          Ingress: options.ingress ?? false,
          IPAM: { Config: addressing(options) },
          Options: parseLabels(options.opt),
          Labels: parseLabels(options.label),
        });
        context.output.write(`${Id}\n`);
      })
    );
}

/** What belongs to which subnet, told by where it lies. Throws `invalid_argument` in docker's words. */
function addressing(
  { subnet, ipRange, gateway, auxAddress }: Record<"subnet" | "ipRange" | "gateway" | "auxAddress", string[]>,
): IPAMConfig[] {
  const configs: IPAMConfig[] = subnet.map((Subnet) => ({ Subnet }));
  const home = (kind: string, text: string) => {
    const address = parseIPv4(text) ?? parseBlock(text)?.first;
    const found = configs.find(({ Subnet }) => {
      const block = parseBlock(Subnet);
      return block !== undefined && address !== undefined && contains(block, address);
    });
    if (found !== undefined) return found;
    throw new CoveyError("invalid_argument", `no matching subnet for ${kind} ${text}`);
  };
  for (const range of ipRange) home("range", range).IPRange = range;
  for (const address of gateway) home("gateway", address).Gateway = address;
  for (const [name, address] of Object.entries(parseLabels(auxAddress))) {
    const config = home("aux-address", address);
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

function list(group: Command, context: Context) {
  listFlags(group.command("ls").description("List networks"), "networks")
    .action((options, command) =>
      withClient(context, command, async (client) => {
        const found = await client.get<NetworkView[]>("/networks", { filters: parseFilters(options.filter) });
        printList(context.output, options, sortedByName(found, ({ Name }) => Name), {
          header: ["NETWORK ID", "NAME", "DRIVER", "SCOPE"],
          id: ({ Id }) => shownID(Id, options),
          row: ({ Id, Name, Driver, Scope }) => [shownID(Id, options), Name, Driver, Scope],
        });
      })
    );
}

function inspect(group: Command, context: Context) {
  group.command("inspect").description("Show networks in full").argument("<network...>")
    .option("--format <format>", '"json"')
    .action((references: string[], _options, command) =>
      withClient(context, command, async (client) => {
        const found = references.map((each) =>
          client.get<NetworkView>(`/networks/${encodeURIComponent(each)}`)
        );
        printObjects(context.output, await Promise.all(found));
      })
    );
}

function remove(group: Command, context: Context) {
  group.command("rm").description("Remove networks").argument("<network...>")
    .action((references: string[], _options, command) =>
      withClient(context, command, (client) =>
        forEachReference(references, async (reference) => {
          await client.delete(`/networks/${encodeURIComponent(reference)}`);
          context.output.write(`${reference}\n`);
        }))
    );
}
