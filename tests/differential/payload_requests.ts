/** Requests about secrets and configs. */
import fc, { type Arbitrary } from "fast-check";
import { texts, valuesOf } from "./schema_values.ts";
import type { Step } from "./requests.ts";

/** Secrets and configs that requests make, use and remove. */
const KINDS = { secret: ["secret-a", "secret-b"], config: ["config-a", "config-b"] } as const;
type Kind = keyof typeof KINDS;

const often = <T>(usual: Arbitrary<T>, other: Arbitrary<T>): Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: other });

const version = (name: string) =>
  often(
    fc.constant(`?version=~version.${name}~`),
    fc.constantFrom("", "?version=", "?version=1", "?version=-1", "?version=x", "?version=0"),
  );

const filters = (kind: Kind) =>
  fc.constantFrom<unknown>(
    ...[{ name: [KINDS[kind][0]] }, { name: [kind] }, { name: ["no-body"] }, { names: [KINDS[kind][0]] }],
    ...[{ label: ["a"] }, { label: ["a=1"] }, { id: [`~id.${KINDS[kind][0]}~`] }, { id: ["no"] }, {}],
    ...[{ nonsense: ["1"] }, { name: null }, { Name: [kind] }, [], 1, null],
  );

function steps(kind: Kind): Arbitrary<Step> {
  const name = fc.constantFrom(...KINDS[kind]);
  const reference = often(
    name.chain((each) => fc.constantFrom(each, `~id.${each}~`)),
    fc.constantFrom("no-body", kind.toUpperCase(), "a%2Fb", "%20"),
  );
  const specs = texts(valuesOf(kind === "secret" ? "SecretSpec" : "ConfigSpec"));
  const named = (each: string) =>
    specs.map((body) => body.replace(/"Name":"(?:secret|config)-[ab]"/, `"Name":"${each}"`));
  return fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
    {
      weight: 4,
      arbitrary: name.chain(named).map((body) => ({ method: "POST", path: `/${kind}s/create`, body })),
    },
    { weight: 2, arbitrary: reference.map((each) => ({ method: "GET", path: `/${kind}s/${each}` })) },
    {
      weight: 2,
      arbitrary: filters(kind).map((each) => ({
        method: "GET",
        path: `/${kind}s?filters=${encodeURIComponent(JSON.stringify(each))}`,
      })),
    },
    {
      weight: 2,
      arbitrary: name.chain((each) =>
        fc.tuple(version(each), often(named(each), fc.constant(`~spec.${each}~`))).map(([asked, body]) => ({
          method: "POST",
          path: `/${kind}s/${each}/update${asked}`,
          body,
        }))
      ),
    },
    { weight: 1, arbitrary: reference.map((each) => ({ method: "DELETE", path: `/${kind}s/${each}` })) },
  );
}

/** One request about secrets or configs. */
export const payloadStep: Arbitrary<Step> = fc.oneof(steps("secret"), steps("config"));
