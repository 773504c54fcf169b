/** Specs, descriptions and statuses as anybody may send them: of the schema's types, and odd in what they say. */
import fc from "fast-check";

/** What is taken for text, and yet is a key, a number, a path or a command to whoever is careless with it. */
const ODD_TEXTS = [
  ...[
    "a",
    "b",
    "zone",
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "length",
    "0",
    "-1",
    "null",
    " ",
  ],
  ...[
    "9007199254740993",
    "1e400",
    "NaN",
    "../../etc/passwd",
    "$(reboot)",
    "`id`",
    "'\";--",
    "\u{1f600}",
    "é",
    "ﷺ",
  ],
  ...["a".repeat(63), "a".repeat(255), "%s%n", "{message}", "node.labels.", "=", "a=b", "\ufeff", "<script>"],
];
/** What no field takes, or not every one. */
const WRONG_TEXTS = [
  ...[
    "",
    "__proto__",
    "a\u202egpj.exe",
    "\u2066x",
    "a\u0000b",
    "\u001b[2J\u001b]0;x\u0007",
    "a\r\nb",
    "\u0085",
  ],
  ...["\ud800", "x\udfff", "x".repeat(5000), "ä".repeat(2000), "y".repeat(140_000)],
];
const WRONG_INTEGERS = [-1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 63, -(2 ** 63), 1e21, 1_000_000];
/** In each such number of fields, one is likely to be wrong: a spec has about as many. */
const RARELY = 60;

function mostly<T>(right: fc.Arbitrary<T>, wrong: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: RARELY, arbitrary: right }, { weight: 1, arbitrary: wrong });
}

/** Text of the type that the schema says, and nothing more. */
const text = mostly(
  fc.oneof(fc.constantFrom(...ODD_TEXTS), fc.string({ minLength: 1, maxLength: 12 })),
  fc.oneof(fc.constantFrom(...WRONG_TEXTS), fc.string({ unit: "binary", maxLength: 20 })),
);
/** One of `values`, the smallest and largest that are taken. */
const integer = (...values: number[]) =>
  mostly(fc.constantFrom(...values), fc.oneof(fc.constantFrom(...WRONG_INTEGERS), fc.integer()));
const word = <T extends string>(...words: T[]) => mostly<string>(fc.constantFrom(...words), text);
const map = fc.dictionary(text, text, { maxKeys: 3, noNullPrototype: true });
const some = <T>(each: fc.Arbitrary<T>, maxLength = 3) => fc.array(each, { maxLength });
const part = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(fields, { requiredKeys: [], noNullPrototype: true });

/** The largest number that is exact. */
const LARGE = Number.MAX_SAFE_INTEGER;

const genericResource = mostly<object>(
  fc.oneof(
    fc.record({ DiscreteResourceSpec: fc.record({ Kind: text, Value: integer(1, 2, LARGE) }) }),
    fc.record({ NamedResourceSpec: fc.record({ Kind: text, Value: text }) }),
    fc.constantFrom({ DiscreteResourceSpec: { Kind: "constructor", Value: 1 } }),
  ),
  fc.constantFrom<object>(
    {},
    { DiscreteResourceSpec: { Kind: "gpu" } },
    { NamedResourceSpec: {} },
    { DiscreteResourceSpec: { Kind: "constructor", Value: 2 }, NamedResourceSpec: { Kind: "x", Value: "y" } },
  ),
);

const constraint = mostly(
  fc.tuple(
    fc.constantFrom("node.labels.", "engine.labels.", "node.", "node.platform."),
    fc.constantFrom("constructor", "__proto__", "toString", "zone", "id", "ip", "arch", "role", "hostname"),
    fc.constantFrom("==", "!=", " == "),
    fc.constantFrom(
      "x",
      "constructor",
      "::ffff:1.2.3.4/200",
      "1.2.3.4/33",
      "aarch64",
      "worker",
      "(",
      "[z-a]",
    ),
  ).map((parts) => parts.join("")),
  text,
);

/** Also beyond what this cluster does: that is an answer too, and no task of it is a million. */
const mode = mostly<object>(
  fc.oneof(
    fc.record({
      Replicated: part({ Replicas: mostly(fc.constantFrom(0, 1, 2, 3), fc.constantFrom(-1, 0.5, 2 ** 53)) }),
    }),
    fc.constant({ Global: {} }),
    fc.record({
      ReplicatedJob: part({ MaxConcurrent: integer(0, 1, 2), TotalCompletions: integer(0, 1, 3) }),
    }),
    fc.constant({ GlobalJob: {} }),
  ),
  fc.constantFrom<object>({}, { ReplicatedJob: { constructor: 1 } }, { Global: { constructor: "x" } }),
);

const duration = integer(0, 1e6, 1e9, 5e9, LARGE);
const update = part({
  Parallelism: integer(0, 1, 2, LARGE),
  Delay: duration,
  FailureAction: word("pause", "continue", "rollback"),
  Monitor: duration,
  MaxFailureRatio: mostly(fc.constantFrom(0, 0.5, 1), fc.double()),
  Order: word("stop-first", "start-first"),
});

const container = fc.record({
  Image: word("busybox", "nginx:1.27", "a/b@sha256:" + "a".repeat(64)),
  Labels: map,
  Command: some(text),
  Args: some(text),
  Hostname: text,
  Env: some(text),
  Dir: text,
  User: text,
  Privileges: part({
    SELinuxContext: part({ Disable: fc.boolean(), User: text }),
    Seccomp: part({ Mode: word("custom", "default"), Profile: word("", "e30=") }),
  }),
  Mounts: some(fc.record({
    Type: word("bind", "volume", "tmpfs"),
    Source: text,
    Target: text,
    TmpfsOptions: part({ SizeBytes: integer(1, LARGE), Mode: integer(0o777, 2 ** 32 - 1) }),
    VolumeOptions: part({ Labels: map, DriverConfig: part({ Name: text, Options: map }) }),
  })),
  StopSignal: text,
  StopGracePeriod: duration,
  Healthcheck: part({ Test: some(text), Interval: duration, Retries: integer(0, 3, LARGE) }),
  Hosts: some(text),
  Sysctls: map,
  Ulimits: some(part({ Name: text, Soft: integer(-1, 0), Hard: integer(-1, LARGE) })),
  OomScoreAdj: integer(-1000, 1000),
}, { requiredKeys: ["Image"], noNullPrototype: true });

const payload = mostly<unknown>(
  fc.oneof(
    fc.jsonValue({ maxDepth: 3 }).filter((value) => value !== null),
    fc.constantFrom(new Array(500).fill(0), { constructor: { prototype: 1 } }),
  ),
  fc.constantFrom<unknown>(2 ** 60, "\ud800", "z".repeat(300_000), null),
);
const runtime = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      ContainerSpec: container,
      LogDriver: part({ Name: text, Options: map }),
    }, { requiredKeys: ["ContainerSpec"], noNullPrototype: true }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      Runtime: fc.constant("process"),
      ProcessSpec: fc.record({
        Command: mostly(fc.constant("/bin/true"), text),
        Args: some(text),
        Env: some(mostly(fc.constantFrom("A=b", "__proto__=x", "constructor="), text)),
        Dir: text,
        User: text,
        StopGracePeriod: duration,
      }, { requiredKeys: ["Command"], noNullPrototype: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      Runtime: fc.constant("deno"),
      DenoSpec: fc.record({
        Source: mostly(fc.constant("1"), text),
        Args: some(text),
        Env: some(mostly(fc.constantFrom("A=b", "__proto__=x"), text)),
        Permissions: part({
          Net: fc.oneof(some(mostly(fc.constant("192.0.2.1:80"), text)), fc.boolean()),
          Read: some(mostly(fc.constantFrom(".", "/srv"), text)),
          Env: some(mostly(fc.constant("constructor"), text)),
        }),
        StopGracePeriod: duration,
      }, { requiredKeys: ["Source"], noNullPrototype: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      Runtime: word("constructor", "timer", "toString"),
      GenericSpec: fc.record({ Payload: payload }),
    }),
  },
);

const template = fc.tuple(
  runtime,
  part({
    Resources: part({
      Limits: part({
        NanoCPUs: integer(1e6, LARGE),
        MemoryBytes: integer(4_194_304, LARGE),
        Pids: integer(0, LARGE),
      }),
      Reservations: part({
        NanoCPUs: integer(1e6, LARGE),
        MemoryBytes: integer(4_194_304, LARGE),
        GenericResources: some(genericResource),
      }),
    }),
    RestartPolicy: part({
      Condition: word("none", "on-failure", "any"),
      Delay: duration,
      MaxAttempts: integer(0, 1, LARGE),
      Window: duration,
    }),
    Placement: part({
      Constraints: some(constraint),
      Preferences: some(part({ Spread: part({ SpreadDescriptor: constraint }) })),
      MaxReplicas: integer(0, 1, LARGE),
      Platforms: some(part({ Architecture: word("arm64", "constructor", "__proto__"), OS: word("linux") })),
    }),
    ForceUpdate: integer(0, 1, LARGE),
  }),
).map(([what, how]) => ({ ...how, ...what }));

/** A service; `name` keeps names apart. */
export const serviceSpec = fc.tuple(
  mostly(fc.constant<string | undefined>(undefined), text),
  fc.record({
    Labels: map,
    TaskTemplate: template,
    Mode: mode,
    UpdateConfig: update,
    RollbackConfig: update,
    EndpointSpec: part({
      Mode: word("vip", "dnsrr"),
      Ports: some(fc.record({
        Protocol: word("tcp", "udp"),
        TargetPort: integer(1, 80, 65535),
        PublishedPort: mostly(fc.integer({ min: 1, max: 65535 }), fc.constantFrom(0, 8080, 70_000)),
        PublishMode: word("host"),
      })),
    }),
  }, { requiredKeys: ["TaskTemplate", "Mode"], noNullPrototype: true }),
).map(([Name, rest]) => (name: string) => ({ Name: Name ?? name, ...rest }));

/** What a client says of a node. */
export const nodeSpec = fc.record({
  Name: text,
  Labels: map,
  Role: fc.constant("worker"),
  Availability: word("active", "active", "pause", "drain"),
}, { noNullPrototype: true });

/** What a client says of the cluster. */
export const clusterSpec = part({
  Labels: map,
  Orchestration: part({ TaskHistoryRetentionLimit: integer(-1, 0, 1, 5, LARGE) }),
  Raft: part({
    SnapshotInterval: integer(1, LARGE),
    KeepOldSnapshots: integer(0, LARGE),
    ElectionTick: integer(10, 600),
    HeartbeatTick: integer(1, 4),
  }),
  Dispatcher: part({ HeartbeatPeriod: duration }),
  CAConfig: part({ NodeCertExpiry: integer(3.6e12, LARGE) }),
  TaskDefaults: part({ LogDriver: part({ Name: text, Options: map }) }),
});

/** Values that CBOR has and JSON has not, in place of what should be there. */
const strange = fc.constantFrom<unknown>(
  ...[2n ** 63n, -(2n ** 63n), NaN, Infinity, -0, 1.5, null, true, [], {}, { toString: 1 }, [[[]]]],
  Uint8Array.of(1, 2, 3),
  "text",
  7,
);
const orStrange = <T>(right: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: RARELY, arbitrary: right }, { weight: 1, arbitrary: strange });

/** What a node says of itself. */
export const description = part({
  Hostname: orStrange(text),
  Platform: orStrange(part({ OS: orStrange(word("linux")), Architecture: word("arm64", "constructor") })),
  Resources: orStrange(part({
    NanoCPUs: orStrange(integer(0, 4e9, LARGE)),
    MemoryBytes: orStrange(integer(0, 1e9, LARGE)),
    GenericResources: orStrange(some(orStrange(genericResource))),
  })),
  Engine: orStrange(part({
    EngineVersion: orStrange(text),
    Labels: orStrange(map),
    Plugins: orStrange(some(part({ Type: word("Log", "Volume"), Name: text }))),
  })),
  Runtimes: orStrange(some(word("process", "container", "constructor"))),
  MissingRuntimes: orStrange(map),
  AgentOnly: orStrange(fc.boolean()),
});

/** What a node says of a task. */
export const status = fc.record({
  State: orStrange(
    word("accepted", "preparing", "ready", "starting", "running", "complete", "failed", "rejected"),
  ),
  Timestamp: orStrange(
    word("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "-271821-04-20T00:00:00Z", "Thu, 01 Jan 1970", "0"),
  ),
  Message: orStrange(text),
  Err: orStrange(text),
  ContainerStatus: orStrange(
    part({
      ContainerID: orStrange(text),
      PID: orStrange(integer(0, 7, 2 ** 32 - 1)),
      ExitCode: orStrange(integer(0, 137, -1)),
    }),
  ),
  PortStatus: orStrange(
    part({ Ports: orStrange(some(part({ TargetPort: orStrange(integer(0, 80)), Name: text }))) }),
  ),
});
