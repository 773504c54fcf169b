/** The cluster in Prometheus' text format (0.0.4). */
import type { Node } from "../../../api/node.ts";
import type { ShownMetrics } from "../../../api/node_metrics.ts";
import type { ReadView } from "../../store/mod.ts";

/** Nodes of which each has its own series, a dozen; of a larger fleet the rest is counted. */
const MAX_SHOWN_NODES = 1000;
/** Characters of a host name in a label. */
const MAX_LABEL_LENGTH = 128;

type NumberOf = (metrics: ShownMetrics) => number | boolean | undefined;

/** What a node measures: name without its prefix, what it is, and where it stands. */
const GAUGES: readonly [name: string, help: string, value: NumberOf][] = [
  ["cpu_ratio", "Share of all processors in use, 0 to 1.", ({ CPU }) => CPU],
  ["memory_used_bytes", "Memory in use.", ({ MemoryUsedBytes }) => MemoryUsedBytes],
  ["memory_total_bytes", "Memory that there is.", ({ MemoryTotalBytes }) => MemoryTotalBytes],
  [
    "disk_used_bytes",
    "In use of the file system with the agent's state.",
    ({ DiskUsedBytes }) => DiskUsedBytes,
  ],
  [
    "disk_total_bytes",
    "Size of the file system with the agent's state.",
    ({ DiskTotalBytes }) => DiskTotalBytes,
  ],
  ["temperature_celsius", "Of the hottest sensor.", ({ Temperature }) => Temperature],
  ["undervoltage", "1 while the power supply is too weak.", ({ UnderVoltage }) => UnderVoltage],
  ["undervoltage_seen", "1 if it was since the last boot.", ({ UnderVoltageSeen }) => UnderVoltageSeen],
  ["throttled", "1 while the processor is held back.", ({ Throttled }) => Throttled],
  ["throttled_seen", "1 if it was since the last boot.", ({ ThrottledSeen }) => ThrottledSeen],
  [
    "clock_skew_seconds",
    "How far ahead of the manager's clock the device's is.",
    ({ ClockSkewMs }) => ClockSkewMs === undefined ? undefined : ClockSkewMs / 1000,
  ],
  [
    "written_bytes_per_day",
    "Written to the device's disks, by the last day.",
    ({ BytesWrittenPerDay }) => BytesWrittenPerDay,
  ],
  [
    "measured_timestamp_seconds",
    "When the manager heard of it.",
    ({ MeasuredAt }) => Date.parse(MeasuredAt) / 1000,
  ],
];

/** All series: those of the cluster, then those of each node. */
export function metricsView(
  view: ReadView,
  metricsOf: (nodeID: string) => ShownMetrics | undefined,
): string {
  const nodes = view.all("nodes").toSorted((a, b) => a.ID < b.ID ? -1 : 1);
  const shown = nodes.slice(0, MAX_SHOWN_NODES);
  const lines = [
    ...family("covey_nodes", "Nodes by state.", counted(nodes.map(({ Status }) => Status.State), "state")),
    ...family("covey_services", "Services.", [["", view.all("services").length]]),
    ...family(
      "covey_tasks",
      "Tasks by state.",
      counted(view.all("tasks").map(({ Status }) => Status.State), "state"),
    ),
    ...family("covey_nodes_without_series", "Nodes that are counted, but not shown one by one.", [
      ["", nodes.length - shown.length],
    ]),
    ...family(
      "covey_node_info",
      "What a node is.",
      shown.map((node) => [`{${infoLabels(node)}}`, 1]),
    ),
    ...family(
      "covey_node_up",
      "1 for a node that is ready.",
      shown.map(({ ID, Status }) => [label(ID), Number(Status.State === "ready")]),
    ),
  ];
  for (const [name, help, value] of GAUGES) {
    const samples = shown.flatMap(({ ID }): [string, number][] => {
      const metrics = metricsOf(ID), found = metrics && value(metrics);
      return found === undefined ? [] : [[label(ID), Number(found)]];
    });
    lines.push(...family(`covey_node_${name}`, help, samples));
  }
  return lines.map((line) => `${line}\n`).join("");
}

function family(name: string, help: string, samples: [labels: string, value: number][]): string[] {
  if (samples.length === 0) return [];
  const lines = samples.map(([labels, value]) => `${name}${labels} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines];
}

function counted(values: string[], name: string): [string, number][] {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([a], [b]) => a < b ? -1 : 1).map(([value, count]) => [
    `{${name}="${escaped(value)}"}`,
    count,
  ]);
}

const label = (nodeID: string) => `{node="${escaped(nodeID)}"}`;

function infoLabels({ ID, Role, Description }: Node): string {
  const labels = {
    node: ID,
    hostname: Description?.Hostname ?? "",
    role: Role,
    architecture: Description?.Platform.Architecture ?? "",
  };
  return Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`).join(",");
}

/** A device may be called anything. */
function escaped(value: string): string {
  return value.slice(0, MAX_LABEL_LENGTH).toWellFormed().replace(
    /[\\"\n]/g,
    (sign) => sign === "\n" ? "\\n" : `\\${sign}`,
  );
}
