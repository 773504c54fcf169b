/** Requests about the swarm's networks, as far as they are no engine's. */
import fc, { type Arbitrary } from "fast-check";
import { texts } from "./schema_values.ts";
import type { Step } from "./requests.ts";

/** Networks that requests make, use and remove; those of a sequence are gone after it. */
export const NETWORKS = ["net-a", "net-b"] as const;

const often = <T>(usual: T, ...others: T[]): Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, {
    weight: 1,
    arbitrary: fc.constantFrom(...others),
  });

const config = fc.constantFrom<object[]>(
  [{ Subnet: "10.101.0.0/24" }],
  [{ Subnet: "10.101.0.0/24", Gateway: "10.101.0.9" }],
  [{ Subnet: "10.102.0.0/16", IPRange: "10.102.4.0/24", Gateway: "10.102.0.1" }],
  [{ Subnet: "10.103.0.0/24" }, { Subnet: "10.104.0.0/24" }],
  [{ Subnet: "10.101.0.0/24", Gateway: "10.105.0.1" }],
  [{ Subnet: "10.101.0.0/24", IPRange: "10.105.0.0/24" }],
  [{ Subnet: "10.101.0.0/24", Gateway: "x" }],
  [{ Subnet: "nonsense" }],
  [{ Gateway: "10.101.0.1" }],
  [{ Subnet: "fd00::/64" }],
  [],
);

const body = fc.record({
  Name: often<string>("net-a", "net-b", "NET-A", "bad name", "-net", "", "x".repeat(64), "host", "none"),
  Driver: often("overlay", "bridge", "nosuch"),
  Scope: often<string | undefined>(undefined, "swarm", "local"),
  CheckDuplicate: fc.boolean(),
  Internal: fc.boolean(),
  Attachable: fc.boolean(),
  Ingress: often(false, true),
  EnableIPv6: often(false, true),
  Labels: fc.constantFrom({}, { a: "1" }, { b: "" }),
  Options: fc.constantFrom({}, { "com.docker.network.driver.mtu": "1300" }, { encrypted: "" }),
  IPAM: fc.record({ Driver: often("default", "", "nosuch"), Config: config }, { requiredKeys: [] }),
}, { requiredKeys: ["Name", "Driver"] });

const reference = fc.constantFrom(...NETWORKS, "net-a", "no-net", "NET-A", "ingress");

/** Of lists only the swarm's part is compared. */
const list = fc.constantFrom(
  { scope: ["swarm"] },
  { driver: ["overlay"] },
  { driver: ["overlay"], name: ["net-a"] },
  { scope: ["swarm"], label: ["a"] },
  { scope: ["swarm"], label: ["a=1"] },
  { scope: ["swarm"], type: ["custom"] },
  { scope: ["swarm"], type: ["builtin"] },
  { scope: ["swarm"], type: ["odd"] },
  { scope: ["swarm"], dangling: ["odd"] },
  { nonsense: ["1"] },
);

/** One request about networks. */
export const networkStep: Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: texts(body).map((text): Step => ({ method: "POST", path: "/networks/create", body: text })),
  },
  { weight: 3, arbitrary: reference.map((each): Step => ({ method: "GET", path: `/networks/${each}` })) },
  {
    weight: 3,
    arbitrary: list.map((filters): Step => ({
      method: "GET",
      path: `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`,
    })),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...NETWORKS, "no-net")
      .map((each): Step => ({ method: "DELETE", path: `/networks/${each}` })),
  },
);
