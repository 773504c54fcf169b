/** Logs as Docker's API sends them: each entry with what was asked for before it, in a frame that names its stream. */
import type { ShownEntry } from "../broker/mod.ts";

/** What stands before each entry, and how entries are told apart. */
export interface FrameOptions {
  timestamps: boolean;
  details: boolean;
  /** Frames with a header; without, entries follow one another, as of a terminal. */
  multiplexed: boolean;
}

/** The streams in a frame's header. */
const STREAM = { stdout: 1, stderr: 2, system: 3 };
const HEADER_BYTES = 8;
const encoder = new TextEncoder();

/** One entry. */
export function logFrame(entry: ShownEntry, options: FrameOptions): Uint8Array {
  const head = (options.timestamps ? `${entry.Time} ` : "") + (options.details ? `${detailsOf(entry)} ` : "");
  return framed(STREAM[entry.Stream], encoder.encode(head), entry.Data, options);
}

/** Why a log ends where it does. */
export function errorFrame(message: string, options: FrameOptions): Uint8Array {
  const text = encoder.encode(`Error grabbing logs: ${message}\n`);
  return framed(STREAM.system, text, new Uint8Array(), options);
}

function framed(
  stream: number,
  head: Uint8Array,
  data: Uint8Array,
  { multiplexed }: FrameOptions,
): Uint8Array {
  const start = multiplexed ? HEADER_BYTES : 0, length = head.length + data.length;
  const frame = new Uint8Array(start + length);
  if (multiplexed) {
    frame[0] = stream;
    new DataView(frame.buffer).setUint32(4, length);
  }
  frame.set(head, start);
  frame.set(data, start + head.length);
  return frame;
}

/** As moby writes them: sorted, and each part as in a URL, so that neither blanks nor commas are in them. Whose it is we say. */
function detailsOf({ Details = {}, NodeID, ServiceID, TaskID }: ShownEntry): string {
  const ours = {
    "com.docker.swarm.node.id": NodeID,
    "com.docker.swarm.service.id": ServiceID,
    "com.docker.swarm.task.id": TaskID,
  };
  const pairs = Object.entries({ ...Details, ...ours }).toSorted(([a], [b]) => a < b ? -1 : 1);
  return pairs.map(([key, value]) => `${escaped(key)}=${escaped(value)}`).join(",");
}

function escaped(text: string): string {
  return encodeURIComponent(text).replaceAll("%20", "+");
}
