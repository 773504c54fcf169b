/** Sequences of requests to the swarm's part of the API. */
import fc, { type Arbitrary } from "fast-check";
import { networkStep } from "./network_requests.ts";
import { payloadStep } from "./payload_requests.ts";
import { texts, valuesOf } from "./schema_values.ts";

/**
 * One request, the same for both sides. In `path` and `body`, `~service.web-a~` is the ID of service web-a, `~version.web-a~`
 * its version (of secrets and configs `~id.secret-a~` …), `~spec.web-a~` its spec, `~task.web-a~` the ID of the task in its first slot; `~service.node~` … and
 * `~service.swarm~` … are those of the node and the swarm. Each side puts in its own; what does not exist is `nothing`, of
 * version 1.
 */
export interface Step {
  method: "GET" | "POST" | "DELETE";
  path: string;
  body?: string;
  /** Of the API, where the client is older. */
  version?: string;
}

const NAMES = ["web-a", "web-b"] as const;
const MAX_STEPS = 8;

const name = fc.constantFrom(...NAMES);
const flag = fc.constantFrom("", "1", "true", "True", "0", "false", "no", "yes", " ");

/** A few query parameters, each there or not. */
function query(parameters: Record<string, Arbitrary<string>>): Arbitrary<string> {
  const each = Object.fromEntries(
    Object.entries(parameters).map(([key, value]) => [key, fc.option(value, { freq: 1, nil: undefined })]),
  );
  return fc.record(each).map((record) => {
    const words = Object.entries(record).filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${encodeURIComponent(value!)}`);
    return words.length > 0 ? `?${words.join("&")}` : "";
  });
}

/** How a client may name a service. */
const serviceName = fc.oneof(
  { weight: 3, arbitrary: name },
  { weight: 3, arbitrary: name.map((each) => `~service.${each}~`) },
  { weight: 1, arbitrary: fc.constantFrom("no-body", "WEB-A", "web-a%20b", "%C3%A4", "web-a%2Fb") },
);
const nodeName = fc.constantFrom("~service.node~", "~service.node~", "self", "no-body", "~hostname~");

const FILTER_VALUES: Record<string, readonly string[]> = {
  id: ["~service.web-a~", "~service.node~", "no-x", ""],
  name: ["web-a", "web", "~hostname~", "no-body", "web-a.1", ""],
  label: ["a", "a=1", "a=", "=", ""],
  "node.label": ["a", "a=1", ""],
  role: ["manager", "worker", "Manager", "boss", ""],
  membership: ["accepted", "pending", "Accepted", "odd"],
  mode: ["replicated", "global", "Global", "replicated-job", "odd", ""],
  service: ["web-a", "web-b", "~service.web-a~", "no-body"],
  node: ["~service.node~", "self", "~hostname~", "no-body"],
  "desired-state": ["running", "shutdown", "accepted", "Running", "odd", ""],
  "_up-to-date": ["true", "false", "odd"],
  runtime: ["container", "plugin", ""],
  nonsense: ["1"],
};

/** The `filters` parameter: mostly of those keys, in every form that Docker takes, or not at all a filter. */
function filters(...keys: string[]): Arbitrary<string> {
  const key = fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...keys) },
    { weight: 1, arbitrary: fc.constantFrom(...Object.keys(FILTER_VALUES)) },
  );
  const pair = key.chain((each) =>
    fc.tuple(fc.constant(each), fc.array(fc.constantFrom(...FILTER_VALUES[each]!), { maxLength: 2 }))
  );
  const asList = fc.array(pair, { minLength: 1, maxLength: 2 }).map((pairs) => Object.fromEntries(pairs));
  const asSet = asList.map((object) =>
    Object.fromEntries(
      Object.entries(object).map(([each, list]) => [each, Object.fromEntries(list.map((v) => [v, true]))]),
    )
  );
  const odd = fc.constantFrom(
    ...["", "null", "{}", "[]", '""', "1", "{", '{"label":null}', '{"label":"a"}', '{"label":{}}'],
    ...[
      '{"name":[null]}',
      '{"name":[1]}',
      '{"name":{"web-a":false}}',
      '{"name":{"web-a":null}}',
      '{"Name":["web-a"]}',
    ],
    '{"nonsense":[]}',
  );
  return fc.oneof(
    { weight: 5, arbitrary: asList.map((object) => JSON.stringify(object)) },
    { weight: 2, arbitrary: asSet.map((object) => JSON.stringify(object)) },
    { weight: 2, arbitrary: odd },
  );
}

const get = (path: string, parameters: Record<string, Arbitrary<string>> = {}): Arbitrary<Step> =>
  query(parameters).map((text) => ({ method: "GET", path: path + text }));

const specs = valuesOf("ServiceSpec");
const version = (of: string) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(`?version=~version.${of}~`) },
    { weight: 1, arbitrary: fc.constantFrom("", "?version=", "?version=1", "?version=-1", "?version=x") },
    { weight: 1, arbitrary: fc.constantFrom("?version=99999999999999999999", "?version=1.5", "?version=0") },
  );

const create: Arbitrary<Step> = texts(specs)
  .map((body) => ({ method: "POST", path: "/services/create", body }));
const update: Arbitrary<Step> = fc.record({
  service: name,
  version: fc.constant(""),
  body: texts(specs),
  rollback: fc.oneof(
    { weight: 8, arbitrary: fc.constant("") },
    { weight: 2, arbitrary: fc.constantFrom("previous", "none", "backwards", "Previous") },
  ),
  auth: fc.oneof(
    { weight: 9, arbitrary: fc.constant("") },
    { weight: 1, arbitrary: fc.constantFrom("spec", "previous-spec", "odd") },
  ),
}).chain((each) =>
  fc.tuple(
    version(each.service),
    fc.oneof(
      { weight: 1, arbitrary: fc.constant(`~spec.${each.service}~`) },
      // An update under another name is refused for that alone.
      {
        weight: 5,
        arbitrary: fc.constant(each.body.replace(/"Name":"web-[ab]"/, `"Name":"${each.service}"`)),
      },
    ),
  ).map(([asked, body]): Step => {
    const words = [asked.slice(1), each.rollback && `rollback=${each.rollback}`];
    if (each.auth) words.push(`registryAuthFrom=${each.auth}`);
    return {
      method: "POST",
      path: `/services/${each.service}/update?${words.filter(Boolean).join("&")}`,
      body,
    };
  })
);

const nodeUpdate: Arbitrary<Step> = fc.tuple(nodeName, version("node"), texts(valuesOf("NodeSpec")))
  .map(([node, asked, body]) => ({ method: "POST", path: `/nodes/${node}/update${asked}`, body }));
const swarmUpdate: Arbitrary<Step> = fc.tuple(
  version("swarm"),
  fc.constantFrom("", "", "", "&rotateWorkerToken=true", "&rotateManagerToken=1", "&rotateWorkerToken=odd"),
  fc.oneof(
    { weight: 4, arbitrary: texts(valuesOf("SwarmSpec")) },
    { weight: 1, arbitrary: fc.constant("~spec.swarm~") },
  ),
).map(([asked, rotate, body]) => ({ method: "POST", path: `/swarm/update${asked}${rotate}`, body }));

const remove: Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: serviceName.map((each) => `/services/${each}`) },
  { weight: 1, arbitrary: nodeName.map((each) => `/nodes/${each}`) },
).map((path) => ({ method: "DELETE", path }));

/** Of those that begin, join and leave, only such as a manager of a swarm refuses. */
const refused: Arbitrary<Step> = fc.constantFrom<Step[]>(
  { method: "POST", path: "/swarm/init", body: "{}" },
  { method: "POST", path: "/swarm/init", body: '{"ListenAddr":"127.0.0.1"}' },
  { method: "POST", path: "/swarm/init", body: "[]" },
  { method: "POST", path: "/swarm/init", body: "" },
  { method: "POST", path: "/swarm/join", body: "{}" },
  { method: "POST", path: "/swarm/join", body: '{"RemoteAddrs":["127.0.0.1:1"],"JoinToken":"x"}' },
  { method: "POST", path: "/swarm/join", body: '{"RemoteAddrs":"127.0.0.1:1"}' },
  { method: "POST", path: "/swarm/leave" },
  { method: "POST", path: "/swarm/leave?force=0" },
  { method: "POST", path: "/swarm/unlock", body: '{"UnlockKey":"x"}' },
  { method: "POST", path: "/swarm/unlock", body: "" },
  { method: "POST", path: "/nodes/self/update" },
  { method: "POST", path: "/services/web-a/update" },
  { method: "DELETE", path: "/tasks/~task.web-a~" },
  { method: "DELETE", path: "/services" },
  { method: "POST", path: "/swarm" },
  { method: "GET", path: "/swarm/nothing" },
  { method: "GET", path: "/services/" },
  { method: "GET", path: "/services/web-a/nothing" },
);

const insertDefaults = { insertDefaults: flag };
const step: Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: update },
  { weight: 3, arbitrary: create },
  {
    weight: 3,
    arbitrary: get("/services", { status: flag, filters: filters("id", "name", "label", "mode") }),
  },
  { weight: 3, arbitrary: serviceName.chain((each) => get(`/services/${each}`, insertDefaults)) },
  {
    weight: 3,
    arbitrary: get("/tasks", {
      filters: filters("id", "name", "label", "service", "node", "desired-state", "_up-to-date", "runtime"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom("~task.web-a~", "~task.web-b~", "no-body").chain((id) => get(`/tasks/${id}`)),
  },
  { weight: 2, arbitrary: remove },
  { weight: 2, arbitrary: nodeUpdate },
  {
    weight: 2,
    arbitrary: get("/nodes", { filters: filters("id", "name", "label", "node.label", "role", "membership") }),
  },
  { weight: 1, arbitrary: nodeName.chain((each) => get(`/nodes/${each}`)) },
  { weight: 2, arbitrary: swarmUpdate },
  { weight: 1, arbitrary: fc.constantFrom("/swarm", "/swarm/unlockkey", "/info").chain((path) => get(path)) },
  { weight: 1, arbitrary: refused },
  { weight: 4, arbitrary: networkStep },
  { weight: 4, arbitrary: payloadStep },
);

/** What changed something in between; before 1.30 Docker asks the registry itself, which a test has none of. */
const OLDER = ["1.30", "1.36", "1.37", "1.38", "1.39", "1.40"] as const;
const OLDEST = ["1.24", "1.25", "1.27", "1.29"] as const;

/** One in some requests is an older client's. */
const anyVersion: Arbitrary<Step> = fc.tuple(step, fc.nat(4), fc.nat()).map(([each, dice, nth]) => {
  const known: readonly string[] = each.method === "GET" ? [...OLDER, ...OLDEST] : OLDER;
  return dice > 0 ? each : { ...each, version: known[nth % known.length]! };
});

/** A sequence on two swarms without services. Most begin with a service that is as it should be. */
export const sequences: Arbitrary<Step[]> = fc.tuple(
  fc.option(
    specs.map((spec): Step => ({
      method: "POST",
      path: "/services/create",
      body: JSON.stringify(spec),
    })),
    { freq: 3 },
  ),
  fc.array(anyVersion, { minLength: 1, maxLength: MAX_STEPS }),
).map(([first, rest]) => first ? [first, ...rest] : rest);
