/** What of a spec that a client sent is not in the one that it is shown. */

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
/** What Go leaves out. */
const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || value === "" || value === 0 || value === false ||
  (Array.isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0);

/** Where Docker itself shows another value than was sent, or keeps the field to itself. */
const NORMALIZED = [
  // Words in any case, shown in the case of the description.
  /\.(?:Propagation|Type|Isolation)$/,
  // Of every kind of network the one ID that all clusters have.
  /Networks(?:\[\d+\])?(?:\.Target)?$/,
  // Never shown, and not of a mount on Linux.
  /\.(?:PullOptions|Consistency)/,
];

/** As Go's decoder takes keys: the description says HealthCheck, and Docker shows Healthcheck. */
function memberOf(object: Json, key: string): unknown {
  const name = Object.keys(object).find((each) => each.toLowerCase() === key.toLowerCase());
  return name === undefined ? undefined : object[name];
}

/** Paths at which `shown` has not what was `sent`. */
export function* lost(sent: unknown, shown: unknown, path = ""): Generator<string> {
  if (isEmpty(sent) || NORMALIZED.some((pattern) => pattern.test(path))) return;
  if (isObject(sent)) {
    for (const [key, value] of Object.entries(sent)) {
      yield* lost(
        value,
        isObject(shown) ? memberOf(shown, key) : undefined,
        path === "" ? key : `${path}.${key}`,
      );
    }
  } else if (Array.isArray(sent)) {
    // Of some lists Docker keeps what is empty, of others not.
    const isWhole = Array.isArray(shown) && shown.length === sent.length;
    const kept = isWhole ? sent : sent.filter((each) => typeof each === "string" || !isEmpty(each));
    for (const [index, value] of kept.entries()) {
      yield* lost(value, (shown as unknown[] | undefined)?.[index], `${path}[${index}]`);
    }
  } else if (sent !== shown) yield `${path}: ${JSON.stringify(sent)} is shown as ${JSON.stringify(shown)}`;
}
