/** How a device is, as its agent measures it: rarely, in a few numbers, and never written down. */
import type { FieldProblem } from "./errors.ts";
import type { RelayUsage } from "./relay.ts";
import { decimal, flag, mapOf, record } from "./validate/shape.ts";

/** How often an agent measures and tells: 48 times 200 bytes a day are 300 KB a month on a link that is paid by the byte. */
export const METRICS_PERIOD_MS = 30 * 60_000;

/** What a device told; what it cannot measure is left out. */
export interface NodeMetrics {
  /** Share of all processors since the last time, 0 to 1. */
  CPU?: number;
  MemoryUsedBytes?: number;
  MemoryTotalBytes?: number;
  /** Of the file system with the agent's state. */
  DiskUsedBytes?: number;
  DiskTotalBytes?: number;
  /** Of the hottest sensor, in degrees Celsius. */
  Temperature?: number;
  /** The supply is too weak now, or was since the last boot. */
  UnderVoltage?: boolean;
  UnderVoltageSeen?: boolean;
  /** The processor is held back now, or was since the last boot. */
  Throttled?: boolean;
  ThrottledSeen?: boolean;
  /** To all its disks, over the last day or as long as the agent runs. */
  BytesWrittenPerDay?: number;
  /** On the wire to and from managers, by what it was for, over the last day or as long as the agent runs. */
  TrafficPerDay?: Record<string, number>;
  /** The device's own clock, milliseconds since 1970. */
  Clock?: number;
}

/** As a manager shows them. */
export interface ShownMetrics extends Omit<NodeMetrics, "Clock"> {
  /** When the manager heard of them, RFC 3339. */
  MeasuredAt: string;
  /** How far ahead of the manager's clock the device's is, what the message took included. */
  ClockSkewMs?: number;
  /** What managers passed on for the node; none: nothing. */
  Relay?: RelayUsage;
}

const shape = record({
  CPU: decimal,
  MemoryUsedBytes: decimal,
  MemoryTotalBytes: decimal,
  DiskUsedBytes: decimal,
  DiskTotalBytes: decimal,
  Temperature: decimal,
  UnderVoltage: flag,
  UnderVoltageSeen: flag,
  Throttled: flag,
  ThrottledSeen: flag,
  BytesWrittenPerDay: decimal,
  TrafficPerDay: mapOf(decimal),
  Clock: decimal,
});

/** Checks what an agent told; notes every problem. */
export function parseNodeMetrics(
  value: unknown,
  path: string,
  problems: FieldProblem[],
): NodeMetrics | undefined {
  return shape(value, path, problems) as NodeMetrics | undefined;
}
