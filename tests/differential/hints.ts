/** What Docker's description does not say of the values of its fields. Paths are written as `ServiceSpec.Mode.Replicated`. */

/** Fields that API 1.41 does not have. */
export const LEFT_OUT = new RegExp(
  "(?:Privileges\\.(?:Seccomp|AppArmor|NoNewPrivileges)|\\.OomScoreAdj|\\.StartInterval|\\.ImageOptions|\\.Subpath|" +
    "TmpfsOptions\\.Options|BindOptions\\.(?:CreateMountpoint|ReadOnly.*))$",
);

/** Without these nearly everything else is refused for the same one reason. */
export const MUST_BE_THERE = new RegExp(
  "^(?:(?:Secret|Config)Spec\\.(?:Name|Data)|ServiceSpec\\.(?:Name|TaskTemplate|TaskTemplate\\.(?:ContainerSpec|ContainerSpec\\.Image|Placement|" +
    "Placement\\.Constraints))|NodeSpec\\.(?:Role|Availability)|SwarmSpec\\.(?:Name|Orchestration|Orchestration\\.TaskHistoryRetentionLimit)|" +
    ".*Mounts\\[\\]\\.(?:Type|Target|Source)|.*Ulimits\\[\\]\\.Name|.*Ports\\[\\]\\.(?:TargetPort|PublishMode))$",
);

/** What one of the two sides has not, or what shuts out all else: rare. */
export const NEVER_ALONE = new RegExp(
  "\\.(?:SecretSpec\\.Driver|PluginSpec|NetworkAttachmentSpec|Networks|ExternalCAs|" +
    "SigningCACert|SigningCAKey|ForceRotate|EncryptionConfig|CredentialSpec|Runtime|Isolation)$",
);

const DURATIONS = [0, 1_000_000, 1_000_000_000, 5_000_000_000];
const SIZES = [0, 4_194_304, 67_108_864];

/** The first pattern that fits says which values are right there. */
export const HINTS: readonly (readonly [RegExp, readonly unknown[]])[] = [
  [/^ServiceSpec\.Name$/, ["web-a", "web-b"]],
  // Those that requests make come of names that are put in.
  [/^(?:Secret|Config)Spec\.Name$/, [
    "secret-a",
    "secret-a",
    "secret-a",
    "bad name",
    "-x",
    "",
    "x".repeat(65),
  ]],
  [/^(?:Secret|Config)Spec\.Data$/, ["YQ==", "YQ==", "e3suU2VydmljZS5OYW1lfX0=", "", "YQ", "no base64!"]],
  [/\.Templating$/, [{ Name: "golang" }, { Name: "golang" }, {}, { Name: "nosuch" }]],
  [/\.Secrets$/, [
    [{
      SecretID: "~id.secret-a~",
      SecretName: "secret-a",
      File: { Name: "a", UID: "0", GID: "0", Mode: 292 },
    }],
    [{
      SecretID: "~id.secret-b~",
      SecretName: "secret-b",
      File: { Name: "/b", UID: "7", GID: "8", Mode: 256 },
    }],
    [{ SecretID: "~id.secret-a~", SecretName: "secret-b", File: { Name: "a" } }],
    [{ SecretID: "~id.secret-a~", SecretName: "secret-a" }],
  ]],
  [/\.Configs$/, [
    [{
      ConfigID: "~id.config-a~",
      ConfigName: "config-a",
      File: { Name: "a", UID: "0", GID: "0", Mode: 292 },
    }],
    [{
      ConfigID: "~id.config-b~",
      ConfigName: "config-b",
      File: { Name: "/b", UID: "7", GID: "8", Mode: 256 },
    }],
    [{ ConfigID: "~id.config-a~", ConfigName: "config-b", File: { Name: "a" } }],
    [{ ConfigID: "~id.config-a~", ConfigName: "config-a" }],
  ]],
  [/\.ContainerSpec\.Image$/, ["busybox:local", "busybox:local", "busybox:next"]],
  // Nothing runs: what a container does is not what is compared here.
  [/Placement\.Constraints$/, [["node.labels.run == yes"], ["node.labels.run==yes", "node.role!=worker"]]],
  [/SpreadDescriptor$/, ["node.labels.zone", "engine.labels.rack"]],
  [/Replicated$/, [{ Replicas: 0 }, { Replicas: 1 }, { Replicas: 2 }, {}]],
  [/\.Replicas$/, [0, 1, 2]],
  [/\.ReplicatedJob$/, [{ MaxConcurrent: 1, TotalCompletions: 2 }, { TotalCompletions: 2 }, {
    MaxConcurrent: 2,
  }, {}]],
  [/\.(?:MaxConcurrent|TotalCompletions)$/, [0, 1, 2]],
  [/\.GlobalJob$/, [{}]],
  // Docker starts as many workers for an update, whatever there is to do.
  [/Parallelism$/, [0, 1, 2, 5]],
  [/\.Mode\.Global$/, [{}]],
  [/\.Networks$/, [[{ Target: "host" }], [{ Target: "bridge", Aliases: ["web"] }]]],
  [/\.Env\[\]$/, ["A=b", "C", "A=c"]],
  [/\.(?:Command|Args)\[\]$/, ["sleep", "1000", ""]],
  [/\.Hostname$/, ["device", "{{.Node.Hostname}}"]],
  [/\.Groups\[\]$/, ["5", "users"]],
  [/\.Mounts\[\]\.Type$/, ["bind", "volume", "tmpfs"]],
  [/\.Mounts\[\]\.Source$/, ["/srv", "data", ""]],
  [/\.Mounts\[\]\.Target$/, ["/srv", "/data"]],
  [/TmpfsOptions\.Mode$/, [0, 448]],
  [/Consistency$/, ["default", "cached"]],
  [/\.StopSignal$/, ["SIGINT", "9"]],
  [/HealthCheck\.Test$/, [["CMD-SHELL", "true"], ["NONE"], ["CMD", "true"], []]],
  [/Retries$/, [0, 3]],
  [/\.Hosts\[\]$/, ["10.0.0.2 here", "::1 there"]],
  [/Nameservers\[\]$/, ["10.0.0.1"]],
  [/DNSConfig\.Options\[\]$/, ["ndots:1"]],
  [/Capability(?:Add|Drop)\[\]$/, ["NET_ADMIN", "CAP_CHOWN", "ALL"]],
  [/Ulimits\[\]\.Name$/, ["nofile", "nproc"]],
  [/NanoCPUs$/, [0, 10_000_000, 500_000_000]],
  [/MemoryBytes$/, SIZES],
  [/SizeBytes$/, SIZES],
  [/\.(?:Delay|Window|Monitor|StopGracePeriod|Interval|Timeout|StartPeriod)$/, DURATIONS],
  [/GenericResources\[\]$/, [{ DiscreteResourceSpec: { Kind: "gpu", Value: 1 } }, {
    NamedResourceSpec: { Kind: "gpu", Value: "one" },
  }]],
  [/Architecture$/, ["x86_64", "amd64", "arm64", ""]],
  [/\.OS$/, ["linux", ""]],
  [/LogDriver\.Name$/, ["json-file", "none"]],
  [/Runtime$/, ["container", "", "plugin", "attachment"]],
  [/Networks\[\]\.Target$/, ["host", "host", "bridge", "shop"]],
  [/TargetPort$/, [80, 443]],
  [/PublishedPort$/, [0, 18080, 18081]],
  [/PublishMode$/, ["host", "host", "host", "ingress"]],
  [/^NodeSpec\.Role$/, ["manager", "manager", "manager", "worker"]],
  [/^NodeSpec\.Name$/, ["", "node"]],
  [/^SwarmSpec\.Name$/, ["default", "default", ""]],
  // Where it is left out Docker keeps no history and we do, which shows in every later list of tasks.
  [/TaskHistoryRetentionLimit$/, [5, 6]],
  [/HeartbeatPeriod$/, [0, 4_000_000_000, 5_000_000_000]],
  [/NodeCertExpiry$/, [0, 3_600_000_000_000, 7_776_000_000_000_000]],
  [/(?:Election|Heartbeat)Tick$/, [0, 1, 10]],
  [/SnapshotInterval$/, [0, 10_000]],
  [/LogEntriesForSlowFollowers$/, [0, 500]],
  [/KeepOldSnapshots$/, [0, 1, 5]],
  [/ForceRotate$/, [0]],
];
