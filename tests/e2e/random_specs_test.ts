/**
 * Specs that Docker's schema allows, through the API of a real manager: each is made, read and written back, or refused in
 * words. `COVEY_RANDOM_SPECS` says how many, for a long run.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { ServiceSpec } from "../../api/service.ts";
import { CoveyError } from "../../api/errors.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { valuesOf } from "../differential/schema_values.ts";
import { changeSpec, withFleet } from "../support/e2e.ts";
import { lost } from "../support/lost_fields.ts";

const SPECS = Number(Deno.env.get("COVEY_RANDOM_SPECS") ?? 200);
/** Asked at once: their writes share entries of the log. */
const BATCH = 50;
const SEED = 13;

interface Shown {
  ID: string;
  Version: { Index: number };
  Spec: ServiceSpec;
}

/** `count` specs, each with a name of its own. */
function specs(count: number): ServiceSpec[] {
  const sent = fc.sample(valuesOf("ServiceSpec"), { numRuns: count, seed: SEED }) as ServiceSpec[];
  return sent.map((spec, index) => ({ ...spec, Name: `random-${index}` }));
}

/** The ID of the service that `sent` makes; undefined for one that is refused, which must be with what is wrong. */
async function created(fleet: Fleet, sent: ServiceSpec): Promise<string | undefined> {
  try {
    return (await fleet.client.post<{ ID: string }>("/services/create", sent)).ID;
  } catch (thrown) {
    const words = `${JSON.stringify(sent)}: ${thrown}`;
    assert.ok(thrown instanceof CoveyError && thrown.code === "invalid_argument", words);
    assert.match(thrown.message, /\w+ \w+/, words);
    return undefined;
  }
}

const shown = (fleet: Fleet, id: string) => fleet.client.get<Shown>(`/services/${id}`);

/** Notes what is not as it was sent, also once the spec was written back as it is shown. */
async function compare(fleet: Fleet, sent: ServiceSpec, id: string, wrong: string[]): Promise<void> {
  const { Spec } = await shown(fleet, id);
  wrong.push(...[...lost(sent, Spec)].map((each) => `${JSON.stringify(sent)}: ${each}`));
  await changeSpec(fleet, `/services/${id}`, () => Spec);
  const again = await shown(fleet, id);
  try {
    assert.deepEqual(again.Spec, Spec);
  } catch {
    wrong.push(`${JSON.stringify(Spec)} is after an update ${JSON.stringify(again.Spec)}`);
  }
}

Deno.test("Random specs over the API: what comes back is what was sent, as Docker shows it, or is refused in words", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    const all = specs(SPECS), wrong: string[] = [];
    let taken = 0;
    for (let at = 0; at < all.length; at += BATCH) {
      const batch = all.slice(at, at + BATCH);
      const ids = await Promise.all(batch.map((sent) => created(fleet, sent)));
      await Promise.all(ids.map((id, index) => id && compare(fleet, batch[index]!, id, wrong)));
      await Promise.all(ids.map((id) => id && fleet.client.delete(`/services/${id}`)));
      taken += ids.filter((id) => id !== undefined).length;
    }
    assert.deepEqual(wrong.slice(0, 20), []);
    assert.ok(taken > SPECS / 10, `only ${taken} of ${SPECS} were taken`);
    assert.doesNotMatch(await fleet.log("manager"), /\[fatal\]|\[error\]/);
    assert.deepEqual(await fleet.client.get("/services"), []);
  }));
