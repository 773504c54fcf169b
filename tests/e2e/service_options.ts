/** Each option of `docker service create`, with an argument, and where the service then shows it or which words refuse it. */

/** What is to be seen of an option. */
export interface OptionCase {
  option: string;
  args: string[];
  /** Where in the service's spec, and what is there; nothing for what the client does by itself. */
  at?: string;
  value?: unknown;
  /** Words of the refusal. */
  refused?: string;
  /** An older client cannot say it, leaves it out or refuses it by itself, in other words. */
  isOfPresentClient?: true;
}

const CONTAINER = "TaskTemplate.ContainerSpec";
const HEALTH = `${CONTAINER}.Healthcheck`;
const LIMITS = "TaskTemplate.Resources.Limits";
const RESERVATIONS = "TaskTemplate.Resources.Reservations";
const SECOND = 1e9;

function works(
  option: string,
  given: string | true,
  at?: string,
  value?: unknown,
  ...more: string[]
): OptionCase {
  const args = [given === true ? `--${option}` : `--${option}=${given}`, ...more];
  return at === undefined ? { option, args } : { option, args, at, value };
}

function refused(option: string, given: string, words: string, ...more: string[]): OptionCase {
  return { option, args: [`--${option}=${given}`, ...more], refused: words };
}

function present(each: OptionCase): OptionCase {
  return { ...each, isOfPresentClient: true };
}

/** What both kinds of update take. */
function updates(kind: "update" | "rollback", field: string): OptionCase[] {
  return [
    works(`${kind}-delay`, "3s", `${field}.Delay`, 3 * SECOND),
    works(`${kind}-failure-action`, "continue", `${field}.FailureAction`, "continue"),
    works(`${kind}-max-failure-ratio`, "0.25", `${field}.MaxFailureRatio`, 0.25),
    works(`${kind}-monitor`, "7s", `${field}.Monitor`, 7 * SECOND),
    works(`${kind}-order`, "start-first", `${field}.Order`, "start-first"),
    works(`${kind}-parallelism`, "3", `${field}.Parallelism`, 3),
  ];
}

/** There are a config and a secret of the name `given`, an overlay network `mesh`, and a file FILE with the line `F=1`. */
export const OPTION_CASES: readonly OptionCase[] = [
  works("cap-add", "NET_ADMIN", `${CONTAINER}.CapabilityAdd`, ["CAP_NET_ADMIN"]),
  works("cap-drop", "CHOWN", `${CONTAINER}.CapabilityDrop`, ["CAP_CHOWN"]),
  works("config", "source=given,target=/c,mode=0400", `${CONTAINER}.Configs.0.File`, {
    Name: "/c",
    UID: "0",
    GID: "0",
    Mode: 0o400,
  }),
  works("constraint", "node.role==worker", "TaskTemplate.Placement.Constraints", ["node.role==worker"]),
  works("container-label", "a=b", `${CONTAINER}.Labels`, { a: "b" }),
  refused("credential-spec", "file://x", "credential specs are not supported on Linux"),
  works("detach", true),
  works("dns", "10.0.0.1", `${CONTAINER}.DNSConfig.Nameservers`, ["10.0.0.1"]),
  works("dns-option", "ndots:2", `${CONTAINER}.DNSConfig.Options`, ["ndots:2"]),
  works("dns-search", "lan", `${CONTAINER}.DNSConfig.Search`, ["lan"]),
  works("endpoint-mode", "dnsrr", "EndpointSpec.Mode", "dnsrr"),
  works("entrypoint", "/bin/sh -c", `${CONTAINER}.Command`, ["/bin/sh", "-c"]),
  works("env", "A=b", `${CONTAINER}.Env`, ["A=b"]),
  works("env-file", "FILE", `${CONTAINER}.Env`, ["F=1"]),
  works("generic-resource", "gpu=2", `${RESERVATIONS}.GenericResources`, [
    { DiscreteResourceSpec: { Kind: "gpu", Value: 2 } },
  ]),
  works("group", "audio", `${CONTAINER}.Groups`, ["audio"]),
  works("health-cmd", "true", `${HEALTH}.Test`, ["CMD-SHELL", "true"]),
  works("health-interval", "3s", `${HEALTH}.Interval`, 3 * SECOND),
  works("health-retries", "4", `${HEALTH}.Retries`, 4),
  works("health-start-interval", "2s", `${HEALTH}.StartInterval`, 2 * SECOND),
  present(works("health-start-period", "5s", `${HEALTH}.StartPeriod`, 5 * SECOND)),
  works("health-timeout", "6s", `${HEALTH}.Timeout`, 6 * SECOND),
  works("host", "box:10.0.0.2", `${CONTAINER}.Hosts`, ["10.0.0.2 box"]),
  works("hostname", "{{.Node.Hostname}}", `${CONTAINER}.Hostname`, "{{.Node.Hostname}}"),
  works("init", true, `${CONTAINER}.Init`, true),
  works("isolation", "default", `${CONTAINER}.Isolation`, "default"),
  refused("isolation", "hyperv", 'isolation "hyperv" is not supported on Linux'),
  works("label", "a=b", "Labels", { a: "b" }),
  works("limit-cpu", "0.5", `${LIMITS}.NanoCPUs`, 5e8),
  works("limit-memory", "64m", `${LIMITS}.MemoryBytes`, 64 * 1024 ** 2),
  works("limit-pids", "50", `${LIMITS}.Pids`, 50),
  works("log-driver", "json-file", "TaskTemplate.LogDriver.Name", "json-file"),
  works(
    "log-opt",
    "max-size=1m",
    "TaskTemplate.LogDriver.Options",
    { "max-size": "1m" },
    "--log-driver=json-file",
  ),
  works(
    "max-concurrent",
    "2",
    "Mode.ReplicatedJob.MaxConcurrent",
    2,
    "--mode=replicated-job",
    "--replicas=4",
  ),
  works("mode", "global", "Mode", { Global: {} }),
  works("mode", "global-job", "Mode", { GlobalJob: {} }),
  works("mount", "type=bind,source=/a,target=/b,bind-propagation=rslave,readonly", `${CONTAINER}.Mounts.0`, {
    Type: "bind",
    Source: "/a",
    Target: "/b",
    ReadOnly: true,
    BindOptions: { Propagation: "rslave" },
  }),
  works(
    "mount",
    "type=volume,source=v,target=/v,volume-driver=d,volume-opt=o=1,volume-label=a=b,volume-nocopy",
    `${CONTAINER}.Mounts.0`,
    {
      Type: "volume",
      Source: "v",
      Target: "/v",
      VolumeOptions: { NoCopy: true, Labels: { a: "b" }, DriverConfig: { Name: "d", Options: { o: "1" } } },
    },
  ),
  works("mount", "type=tmpfs,target=/t,tmpfs-size=65536,tmpfs-mode=0700", `${CONTAINER}.Mounts.0`, {
    Type: "tmpfs",
    Target: "/t",
    TmpfsOptions: { SizeBytes: 65536, Mode: 0o700 },
  }),
  present(works("mount", "type=volume,source=v,target=/v,volume-subpath=s", `${CONTAINER}.Mounts.0`, {
    Type: "volume",
    Source: "v",
    Target: "/v",
    VolumeOptions: { Subpath: "s", DriverConfig: {} },
  })),
  present(works("mount", "type=image,source=i,target=/i,image-subpath=s", `${CONTAINER}.Mounts.0`, {
    Type: "image",
    Source: "i",
    Target: "/i",
    ImageOptions: { Subpath: "s" },
  })),
  works("name", "other", "Name", "other"),
  works("network", "host", "TaskTemplate.Networks.0.Aliases", undefined),
  present(refused("network", "nowhere", "network nowhere not found")),
  refused("network", "mesh", "overlay networks are not available yet"),
  works("no-healthcheck", true, `${HEALTH}.Test`, ["NONE"]),
  works("no-resolve-image", true),
  works("oom-score-adj", "300", `${CONTAINER}.OomScoreAdj`, 300),
  works("placement-pref", "spread=node.labels.room", "TaskTemplate.Placement.Preferences", [
    { Spread: { SpreadDescriptor: "node.labels.room" } },
  ]),
  works("publish", "mode=host,target=80,published=8080", "EndpointSpec.Ports.0", {
    Protocol: "tcp",
    TargetPort: 80,
    PublishedPort: 8080,
    PublishMode: "host",
  }),
  refused("publish", "8080:80", "the routing mesh (ingress) is not available yet"),
  works("quiet", true),
  works("read-only", true, `${CONTAINER}.ReadOnly`, true),
  works("replicas", "3", "Mode.Replicated.Replicas", 3),
  works("replicas-max-per-node", "2", "TaskTemplate.Placement.MaxReplicas", 2),
  works("reserve-cpu", "0.25", `${RESERVATIONS}.NanoCPUs`, 25e7),
  works("reserve-memory", "32m", `${RESERVATIONS}.MemoryBytes`, 32 * 1024 ** 2),
  works("restart-condition", "on-failure", "TaskTemplate.RestartPolicy.Condition", "on-failure"),
  works("restart-delay", "9s", "TaskTemplate.RestartPolicy.Delay", 9 * SECOND),
  works("restart-max-attempts", "2", "TaskTemplate.RestartPolicy.MaxAttempts", 2),
  works("restart-window", "8s", "TaskTemplate.RestartPolicy.Window", 8 * SECOND),
  ...updates("rollback", "RollbackConfig"),
  works("secret", "source=given,uid=1000", `${CONTAINER}.Secrets.0.File.UID`, "1000"),
  works("stop-grace-period", "4s", `${CONTAINER}.StopGracePeriod`, 4 * SECOND),
  works("stop-signal", "SIGINT", `${CONTAINER}.StopSignal`, "SIGINT"),
  works("sysctl", "net.core.somaxconn=512", `${CONTAINER}.Sysctls`, { "net.core.somaxconn": "512" }),
  works("tty", true, `${CONTAINER}.TTY`, true),
  works("ulimit", "nofile=100:200", `${CONTAINER}.Ulimits`, [{ Name: "nofile", Hard: 200, Soft: 100 }]),
  ...updates("update", "UpdateConfig"),
  works("user", "1000:100", `${CONTAINER}.User`, "1000:100"),
  works("with-registry-auth", true),
  works("workdir", "/srv", `${CONTAINER}.Dir`, "/srv"),
];
