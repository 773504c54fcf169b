/** Networks that a spec names by the ID that the engine beside this manager gives its own: clients find that in its list. */
import { CoveyError } from "../../api/errors.ts";
import { predefinedNetwork } from "../../api/predefined_network.ts";
import type { ServiceSpec } from "../../api/service.ts";
import { ENGINE_NETWORK_ID, networkMissing } from "../../api/validate/mod.ts";
import type { Engine } from "./engine.ts";

/** `spec` with its networks by name. Throws `invalid_argument` for one that no other node's engine has. */
export async function withNetworkNames(spec: ServiceSpec, engine: Engine | undefined): Promise<ServiceSpec> {
  const { Networks } = spec.TaskTemplate;
  if (!Networks?.some(({ Target }) => ENGINE_NETWORK_ID.test(Target))) return spec;
  const named = await Promise.all(
    Networks.map(async (each) => ({ ...each, Target: await nameOf(each.Target, engine) })),
  );
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Networks: named } };
}

async function nameOf(target: string, engine: Engine | undefined): Promise<string> {
  if (!ENGINE_NETWORK_ID.test(target)) return target;
  const found = await engine?.getObject(`/networks/${target}`);
  const network = typeof found?.Name === "string" ? predefinedNetwork(found.Name) : undefined;
  if (network !== undefined) return network.Name;
  const problem = { field: "TaskTemplate.Networks[0].Target", message: networkMissing(target) };
  throw CoveyError.invalid("use the service spec", [problem]);
}
