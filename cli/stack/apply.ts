/** Doing what a plan says, one object after another. */
import { CoveyError } from "../../api/errors.ts";
import type { ServiceView } from "../api_types.ts";
import type { ControlClient } from "../client.ts";
import type { NamedReference } from "../compose/stack.ts";
import { type Change, keepPinnedImage, type PayloadView, withReferences } from "./plan.ts";

/** Told of each change as it is begun, as docker words it. */
export type Tell = (text: string) => void;

/** Does `changes` in their order; resolves with the IDs of services that were made or changed. */
export async function applyChanges(
  client: ControlClient,
  changes: readonly Change[],
  tell: Tell,
): Promise<string[]> {
  const ids: string[] = [];
  let references: References | undefined;
  for (const change of changes) {
    if (change.action === "keep") continue;
    tell(`${VERBS[change.action]} ${change.kind} ${change.name}`);
    if (change.kind !== "service") {
      await applyObject(client, change);
    } else if (change.action === "remove") {
      await client.delete(`/services/${change.current.ID}`);
    } else {
      // Read after what it may name was made.
      references ??= await readReferences(client);
      ids.push(await applyService(client, change, references));
    }
  }
  return ids;
}

const VERBS = { create: "Creating", update: "Updating", remove: "Removing" };

type ObjectChange = Exclude<Change, { kind: "service" }>;
type ServiceChange = Extract<Change, { service: unknown }>;

async function applyObject(client: ControlClient, change: ObjectChange): Promise<void> {
  if (change.action === "create") {
    await client.post(`/${change.kind}s/create`, change.body);
    return;
  }
  const { ID, Version, Spec } = change.current!;
  const body = { ...Spec, Labels: change.body.Labels };
  await client.post(`/${change.kind}s/${ID}/update`, body, { version: Version.Index });
}

/** IDs by name. */
interface References {
  secrets: Map<string, string>;
  configs: Map<string, string>;
}

async function readReferences(client: ControlClient): Promise<References> {
  const [secrets, configs] = await Promise.all([
    client.get<PayloadView[]>("/secrets"),
    client.get<PayloadView[]>("/configs"),
  ]);
  const byName = (all: PayloadView[]) => new Map(all.map(({ ID, Spec }) => [Spec.Name, ID]));
  return { secrets: byName(secrets), configs: byName(configs) };
}

async function applyService(
  client: ControlClient,
  { service, current }: ServiceChange,
  { secrets, configs }: References,
): Promise<string> {
  const spec = withReferences(
    service.spec,
    service.secrets.map((each) => ({
      File: each.File,
      SecretID: idOf(secrets, "secret", each),
      SecretName: each.name,
    })),
    service.configs.map((each) => ({
      File: each.File,
      ConfigID: idOf(configs, "config", each),
      ConfigName: each.name,
    })),
  );
  if (current === undefined) return (await client.post<{ ID: string }>("/services/create", spec)).ID;
  // As it is now: the plan may have been shown a while ago.
  const { ID, Version, Spec } = await client.get<ServiceView>(`/services/${current.ID}`);
  spec.TaskTemplate.ForceUpdate = Spec.TaskTemplate.ForceUpdate ?? 0;
  keepPinnedImage(spec, { Spec });
  await client.post(`/services/${ID}/update`, spec, { version: Version.Index });
  return ID;
}

function idOf(ids: Map<string, string>, kind: string, { name }: NamedReference): string {
  const id = ids.get(name);
  if (id === undefined) throw new CoveyError("not_found", `${kind} ${name} not found`, { cause: 404 });
  return id;
}
