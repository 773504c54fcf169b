/** Where the two sides differ on purpose, each with its reason; `docs/docker_differences.md` says it to users. Nothing else is exempt. */
import { MAX_OLD_SNAPSHOTS } from "../../api/cluster.ts";
import { type Divergence, type Exchange, text } from "./answers.ts";

/** The status of a connection that was closed instead of an answer. */
export const HUNG_UP = 0;

interface Difference {
  reason: string;
  explains(exchange: Exchange, divergence: Divergence): boolean;
}

/** Docker's Go speaking of a text that it cannot decode. */
const GO_DECODER = /json: cannot unmarshal|unexpected EOF|invalid character|illegal base64 data|^EOF|"EOF"/;

/** Members of a node that only ours have. */
const NODE_MEMBERS =
  /\.(?:Description\.(?:(?:Missing|Overlay)?Runtimes|MissingOverlay|DataPathAddr|LocalAddr|Reloads|Facts)|PublicKey|Metrics)$/;

/** What is refused because it is not there yet. */
const NOT_YET = new RegExp(
  "(?:IPv6 in overlay networks is|encrypted overlay networks are|external certificate authorities are|" +
    "rotating the root certificate is) not available yet",
);

/** What is refused because it is never to be there, each in its field. */
const NEVER = new RegExp(
  "\\.Runtime: unsupported|(?:Driver|Templating\\.Name|Mounts\\[\\d\\]\\.Type|TmpfsOptions\\.Options|" +
    "CredentialSpec|Isolation|Configs\\[\\d\\]\\.Runtime|SwapBytes|MemorySwappiness|PluginSpec|NetworkAttachmentSpec): " +
    "[^;]* (?:is|are) not supported|template drivers have no options",
);

export const DIFFERENCES: readonly Difference[] = [
  {
    reason: "what is not there yet, such as IPv6 in networks, is refused by name",
    explains: ({ covey }) => covey.status === 400 && NOT_YET.test(covey.text),
  },
  {
    reason:
      "a body that is no JSON or of another type is refused with the field, and with those of other mistakes",
    explains: ({ docker, covey }, { at }) =>
      at === ".message" && docker.status === 400 && covey.status === 400 && GO_DECODER.test(docker.text),
  },
  {
    reason:
      "a filter that is no object, or no JSON, is a mistake of the request (400), not of the server (500)",
    explains: ({ step, docker, covey }) =>
      step.path.includes("filters=") && docker.status >= 400 && covey.status === 400 &&
      GO_DECODER.test(docker.text),
  },
  {
    reason: "a constraint that cannot be read is a mistake of the request (400), not of the server (500)",
    explains: ({ docker, covey }) =>
      docker.status === 500 && covey.status === 400 &&
      (covey.text.includes(".Placement.Constraints[") || covey.text.includes(bare(docker.text))) &&
      /desc = (?:constraint expected|key '|value ')/.test(docker.text),
  },
  {
    reason: "what this kind of cluster never has is refused by name, where Docker ignores it",
    explains: ({ covey }) => covey.status === 400 && NEVER.test(covey.text),
  },
  {
    reason:
      "a mount or port without a target is refused by name, where Docker takes it and fails on the node",
    explains: ({ covey }) =>
      covey.status === 400 && /mount target must be|target port must be/.test(covey.text),
  },
  {
    reason:
      "a word for a protocol or a way to publish that is none is refused, where Docker takes it for the usual one",
    explains: ({ covey }) =>
      covey.status === 400 && /\.(?:Protocol|PublishMode): must be one of/.test(covey.text),
  },
  {
    reason: "mounts of images are taken, for engines that have them",
    explains: ({ docker }) => docker.text.includes('invalid MountType: \\"image\\"'),
  },
  {
    reason:
      "a network that is not there is a mistake of the request (400), and told of with those of the spec",
    explains: ({ docker, covey }) =>
      docker.status >= 400 && covey.status === 400 &&
      /network \S* ?not found|Networks\[\d+\]\.Target: is required/.test(covey.text),
  },
  {
    reason:
      "by chance, a text is how the ID of one of an engine's own networks begins, and that of no other's",
    explains: ({ docker, covey }) =>
      /network \S+ not found/.test(docker.text) && covey.text.includes("cannot be used with services"),
  },
  {
    reason: "a service in a network without virtual addresses has none, where Docker shows empty ones",
    explains: (_exchange, { at, docker, covey }) =>
      at.endsWith(".VirtualIPs") && Array.isArray(docker) &&
      text(docker.filter((each) => "Addr" in each)) === text(covey ?? []),
  },
  {
    reason:
      "an endpoint that has nothing to publish any more is shown as one that never had, where Docker keeps its mode",
    explains: (_exchange, { at, docker, covey }) =>
      /\.Endpoint\.Spec\.Mode$/.test(at) && docker === "vip" && covey === undefined,
  },
  {
    reason: "networks that a service names beside its task template are shown with its tasks, too",
    explains: (_exchange, { at, docker }) =>
      docker === undefined && /^(?:\[\d+\])?\.Spec\.Networks$/.test(at),
  },
  {
    reason: "networks beside the task template may be changed: they count as the template's",
    explains: ({ docker }) => docker.text.includes("networks must be migrated to TaskSpec"),
  },
  {
    reason: "the networks that every engine has were made by nobody at no time",
    explains: (_exchange, { at, covey }) =>
      /\.NetworksAttachments\[\d\]\.Network\.(?:Created|Updated)At$/.test(at) && covey === "<never>",
  },
  {
    reason: "of a request with several mistakes we may tell of the object that does not exist first",
    explains: ({ step, docker, covey }) =>
      step.method === "POST" && docker.status >= 400 && covey.status === 404 &&
      / not found"/.test(covey.text),
  },
  {
    reason: "of a request with several mistakes we may tell of the spec first, Docker of the parameter",
    explains: ({ docker, covey }) =>
      docker.status === 500 && covey.status === 400 &&
      /unrecognized rollback option|registryAuthFrom|have a previous spec/.test(docker.text),
  },
  {
    reason:
      "null where an object has to stand is refused with its place, where Docker breaks down or makes an empty one",
    explains: ({ covey }) => covey.status === 400 && /cannot unmarshal null into object/.test(covey.text),
  },
  {
    reason: "why a placeholder cannot be filled in is said in our words",
    explains: ({ docker, covey }, { at }) =>
      at === ".message" && /expanding \w+ failed/.test(docker.text) &&
      /expanding \w+ failed/.test(covey.text),
  },
  {
    reason: "what follows the JSON of a body is refused, where Docker does not look at it",
    explains: ({ step, covey }) =>
      covey.status === 400 && /after JSON at/.test(covey.text) && !isJSON(step.body ?? ""),
  },
  {
    reason: "a path with a slash in a name is of an object that does not exist; of a path Docker has none",
    explains: ({ step, docker }, { at }) =>
      step.path.includes("%2F") && at === ".message" && docker.text.includes("page not found"),
  },
  {
    reason:
      "of a reference to a secret or config the field is named that is wrong, where Docker calls it malformed",
    explains: ({ docker, covey }, { at }) =>
      at === ".message" && covey.status === 400 && /malformed (?:secret|config) reference/.test(docker.text),
  },
  {
    reason: "more old snapshots than a disk is meant for are refused by name",
    explains: ({ step, covey }) =>
      covey.status === 400 && covey.text.includes("Raft.KeepOldSnapshots: ") &&
      Number(/"KeepOldSnapshots":\s*(\d+)/i.exec(step.body ?? "")?.[1]) > MAX_OLD_SNAPSHOTS,
  },
  {
    reason:
      "an owner of a secret's or config's file that is no number, and a place outside, are refused by name",
    explains: ({ covey }) =>
      covey.status === 400 &&
      /\.File\.(?:[UG]ID: must be a number|Name: must not lead upwards)/.test(covey.text),
  },
  {
    reason: "of several mistakes in a spec all are told",
    explains: ({ docker, covey }, { at }) =>
      at === ".message" && docker.status === covey.status && covey.status === 400 &&
      covey.text.includes("; ") && covey.text.includes(bare(docker.text)),
  },
  {
    reason: "a whole number that cannot be kept exactly is refused by name",
    explains: ({ covey }) => covey.status === 400 && covey.text.includes("cannot be kept exactly"),
  },
  {
    reason: "/swarm/update: what is left out has Docker's default and is shown with it, where Docker shows 0",
    explains: ({ step }, { at, docker, covey }) =>
      step.method === "GET" && /^\/(?:swarm|info)/.test(step.path) &&
      (docker === 0 || docker === undefined) &&
      /\.Spec\.(?:Orchestration|Raft|Dispatcher|CAConfig)\./.test(at) && typeof covey === "number",
  },
  {
    reason:
      "a node that is in a swarm says so before it looks at what else is wrong with a request to begin or join one",
    explains: ({ step, docker, covey }) =>
      /^\/swarm\/(?:init|join|unlock)/.test(step.path) && docker.status === 400 &&
      /already part of a swarm|not locked/.test(covey.text),
  },
  {
    reason: "how far an update is stands beside its state, for programs of ours",
    explains: (_exchange, { at, docker }) => /\.UpdateStatus\.Rollout$/.test(at) && docker === undefined,
  },
  {
    reason: "a refusal has a reason beside its message, for programs of ours",
    explains: (_exchange, { at, docker }) => at === ".reason" && docker === undefined,
  },
  {
    reason: "a rollback to the previous spec needs none in its body: what stands there is not looked at",
    explains: ({ step, docker }) =>
      step.path.includes("rollback=previous") && docker.status >= 400 &&
      !/service \S+ not found|previous spec|out of sequence|invalid service version/.test(docker.text),
  },
  {
    reason: "the default log driver is shown as it was set; Docker 20.10 shows none",
    explains: (_exchange, { at, docker }) =>
      at.endsWith(".Spec.TaskDefaults.LogDriver") && docker === undefined,
  },
  {
    reason: "a task that ended before it had a node says why; Docker leaves what it waited for",
    explains: (_exchange, { at, covey }) =>
      /\.Status\.(?:Message|Err)$/.test(at) && covey === "task is no longer wanted",
  },
  {
    reason:
      "Docker breaks down over some requests, such as lists with null in them, and closes the connection",
    explains: ({ docker, covey }) =>
      docker.status === HUNG_UP &&
      (covey.status === 400 || (covey.status === 404 && / not found"/.test(covey.text))),
  },
  {
    reason: "a network that is wrong is told of before a name that is taken",
    explains: ({ step, docker, covey }) =>
      step.path === "/networks/create" && docker.status === 409 && covey.status === 400,
  },
  {
    reason: "a pool of addresses is shown, which Docker has or not by the client that started the swarm",
    explains: (_exchange, { at }) => at.endsWith(".DefaultAddrPool"),
  },
  {
    reason:
      "Docker now and then writes why a task has no node only with the scheduler's next pass, whenever that is",
    explains: (_exchange, { at, docker, covey }) =>
      at.endsWith(".Status.Err") && docker === undefined && /^no suitable node/.test(String(covey)),
  },
  {
    reason:
      "empty members of a network are empty, where Docker shows null, and IPv4 is told of in every version",
    explains: ({ step }, { at, docker, covey }) =>
      step.path.startsWith("/networks") &&
      (at.endsWith(".EnableIPv4") ||
        (docker === null && typeof covey === "object" && Object.keys(covey as object).length === 0)),
  },
  {
    reason: "a network tells of no containers and peers of the node that is asked",
    explains: ({ step }, { at }) =>
      step.path.startsWith("/networks/ingress") && /^\.(?:Containers\..*|Containers|Peers)$/.test(at),
  },
  {
    reason: "a network has one VXLAN identifier, whatever its subnets, and numbers come back sooner",
    explains: ({ step }, { at }) => step.path.startsWith("/networks") && at.endsWith(".vxlanid_list"),
  },
  {
    reason: "auxiliary addresses are shown, and the one manager of addresses",
    explains: ({ step }, { at }) =>
      step.path.startsWith("/networks") && /\.IPAM\.(?:Driver|Config\[\d\]\.AuxiliaryAddresses)$/.test(at),
  },
  {
    reason: "networks that would be unusable, or ask for what is not there, are refused by name",
    explains: ({ step, docker, covey }) =>
      step.path === "/networks/create" && docker.status < 400 && covey.status === 400 &&
      /overlaps with|driver\.mtu: must be|of the driver overlay|is of the swarm|addresses of hosts|must have a mask|no host has/
        .test(covey.text),
  },
  {
    reason: "the ingress network's driver is told of where a task is in it, as other networks' are",
    explains: (_exchange, { at, docker, covey }) =>
      /\.NetworksAttachments\[\d\]\.Network\.Spec\.DriverConfiguration\.Name$/.test(at) &&
      docker === undefined && covey === "overlay",
  },
  {
    reason: "a network's mistakes are the request's (400), also where Docker says 404, 409 or 500",
    explains: ({ step, docker, covey }) =>
      step.path === "/networks/create" && docker.status >= 400 && covey.status === 400,
  },
  {
    reason:
      "a word that a filter of networks does not know is a mistake of the request (400), not of the server (500)",
    explains: ({ step, docker, covey }) =>
      step.path.startsWith("/networks?filters=") && docker.status === 500 && covey.status === 400 &&
      docker.text.includes("invalid "),
  },
  {
    reason: "of a network that is wrong in several ways we may tell first that its name is taken",
    explains: ({ step, docker, covey }) =>
      step.path === "/networks/create" && docker.status === 400 && covey.status === 409,
  },
  {
    reason: "an empty value of what is not there says nothing, of whatever type it is",
    explains: ({ docker, covey }) =>
      docker.status === 400 && covey.status < 300 && GO_DECODER.test(docker.text) &&
      /SigningCA|ExternalCAs|EnableIPv6|Config(?:Only|From)|PluginSpec|AttachmentSpec|SecretSpec\.Driver |\.Options|SwapBytes|MemorySwappiness/
        .test(docker.text),
  },
  {
    reason: "the address manager may be named in any case; Docker takes it so, and then never finds it",
    explains: ({ step, docker }, { at }) =>
      step.method === "GET" && step.path.startsWith("/networks") && docker.text.includes('"Driver":""') &&
      /\.(?:Driver|IPAM\.Config|Options)$/.test(at),
  },
  {
    reason:
      "ports in ingress mode beside the network of the host, or none, are refused by name; Docker's task fails",
    explains: ({ covey }) =>
      covey.status === 400 && covey.text.includes("with ingress mode cannot be used with network"),
  },
  {
    reason: "a start-first update that can never begin is refused by name, where Docker waits for ever",
    explains: ({ covey }) => covey.status === 400 && covey.text.includes("start-first needs two copies"),
  },
  {
    reason:
      "a start-first update ends at once what waits for a node, which Docker keeps until the new task runs",
    explains: ({ step, divergences }, { at }) => {
      if (!step.path.startsWith("/tasks") || !/\.(?:Status\.State|DesiredState)$/.test(at)) return false;
      const task = at.replace(/\.(?:Status\.State|DesiredState)$/, "");
      const ended = (field: string, docker: string) =>
        divergences.some((each) =>
          each.at === task + field && each.docker === docker && each.covey === "shutdown"
        );
      return ended(".Status.State", "pending") && ended(".DesiredState", "running");
    },
  },
  {
    reason: "of a network without a name an engine speaks by whether it has a bridge, which only ours has",
    explains: ({ step, docker, covey }) =>
      step.path === "/networks/create" && docker.text.includes("invalid name: ") && covey.status === 409,
  },
  {
    reason: "of a network with a name of another case Docker only says that it conflicts",
    explains: ({ docker, covey }) =>
      docker.text.includes("name conflicts with an existing object") && covey.status === 409,
  },
  {
    reason:
      "a node says what tasks it can run and which of them in networks, which key secrets are sealed for, and how it is",
    explains: (_exchange, { at, docker }) => docker === undefined && NODE_MEMBERS.test(at),
  },
  {
    reason: "a job's slot 0 is shown, which Docker leaves out as it does every zero",
    explains: (_exchange, { at, docker, covey }) =>
      /(?:^|\])\.Slot$/.test(at) && docker === undefined && covey === 0,
  },
  {
    reason: "as whom programs run is told as a label of the engine, which Docker has no programs for",
    explains: (_exchange, { at, docker, covey }) =>
      at.endsWith(".Description.Engine.Labels") && docker === undefined &&
      Object.keys(covey as object).join() === "covey.task.user",
  },
];

/** A message without what says where it comes from. */
function bare(answer: string): string {
  return answer.replace(/^\{"message":"(?:rpc error: code = \w+ desc = )?/, "").replace(/"\}\s*$/, "");
}

function isJSON(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Why a divergence is on the list; undefined if it is not. */
export function reasonOf(exchange: Exchange, divergence: Divergence): string | undefined {
  return DIFFERENCES.find((each) => each.explains(exchange, divergence))?.reason;
}
