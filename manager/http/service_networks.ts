/** Networks as a spec names them: by ID, by name, or by the ID that the engine beside this manager gives its own. */
import { deepEqual } from "../../api/deep_equal.ts";
import { CoveyError, type FieldProblem } from "../../api/errors.ts";
import { predefinedNetwork } from "../../api/predefined_network.ts";
import type { NetworkAttachmentConfig, ServiceSpec } from "../../api/service.ts";
import { ENGINE_NETWORK_ID, networkMissing } from "../../api/validate/mod.ts";
import { findNetwork } from "../control/lookup.ts";
import type { ReadView } from "../store/mod.ts";
import type { Engine } from "./engine.ts";

/**
 * `spec` with the networks that every engine has by name and the swarm's by ID. Throws `invalid_argument` for one that the
 * swarm does not have, and for one that is named twice.
 */
export async function withNetworks(
  spec: ServiceSpec,
  view: ReadView,
  engine: Engine | undefined,
): Promise<ServiceSpec> {
  const { Networks, TaskTemplate } = spec, problems: FieldProblem[] = [];
  const resolveAt = (at: string, networks: NetworkAttachmentConfig[] | undefined) =>
    networks && resolveAll(networks, at, problems, (target) => resolve(target, view, engine));
  const beside = await resolveAt("Networks", Networks);
  // Named beside it only, they are the template's as well; what is wrong with them is said once.
  const own = deepEqual(Networks, TaskTemplate.Networks)
    ? beside
    : await resolveAt("TaskTemplate.Networks", TaskTemplate.Networks);
  if (problems.length > 0) throw CoveyError.invalid("use the service spec", problems);
  return {
    ...spec,
    ...(beside && { Networks: beside }),
    TaskTemplate: { ...TaskTemplate, ...(own && { Networks: own }) },
  };
}

async function resolveAll(
  networks: NetworkAttachmentConfig[],
  at: string,
  problems: FieldProblem[],
  resolve: (target: string) => Promise<Found>,
): Promise<NetworkAttachmentConfig[]> {
  const seen = new Set<string>();
  return await Promise.all(networks.map(async (each, index) => {
    const field = `${at}[${index}].Target`, found = await resolve(each.Target);
    if ("problem" in found) problems.push({ field, message: found.problem });
    else if (seen.has(found.Target)) {
      problems.push({ field, message: `network ${each.Target} is named twice` });
    } else seen.add(found.Target);
    return "problem" in found ? each : { ...each, Target: found.Target };
  }));
}

type Found = { Target: string } | { problem: string };

async function resolve(
  target: string,
  view: ReadView,
  engine: Engine | undefined,
): Promise<Found> {
  if (predefinedNetwork(target) !== undefined) return { Target: target };
  try {
    return { Target: findNetwork(view, target).ID };
  } catch (thrown) {
    const { code, message } = CoveyError.from(thrown);
    if (code !== "not_found") return { problem: message };
  }
  const found = await engine?.getObject(`/networks/${encodeURIComponent(target)}`);
  const name = typeof found?.Name === "string" ? found.Name : undefined;
  const predefined = name !== undefined && ENGINE_NETWORK_ID.test(target) && predefinedNetwork(name);
  if (predefined) return { Target: predefined.Name };
  if (name === undefined) return { problem: networkMissing(target) };
  return {
    problem:
      `The network ${target} cannot be used with services. Only networks scoped to the swarm can be used, ` +
      "such as those created with the overlay driver.",
  };
}
