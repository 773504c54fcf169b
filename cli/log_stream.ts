/** Reads Docker's multiplexed log stream, as the control API sends it. */
import { ByteQueue } from "../api/byte_queue.ts";
import { CoveyError } from "../api/errors.ts";

/** Bytes of one frame: an entry with its time and its details. */
const MAX_FRAME_BYTES = 1024 * 1024;
const HEADER_BYTES = 8;

/** One entry of a log. */
export interface LogLine {
  /** `system`: why the log ends where it does. */
  stream: "stdout" | "stderr" | "system";
  details: Map<string, string>;
  /** Empty unless asked for. */
  time: string;
  /** With its end, if it has one. */
  text: string;
}

/** The entries of a stream that was asked for with details, and maybe with times. Throws `data_loss` if it breaks off. */
export async function* logLines(
  bytes: AsyncIterable<Uint8Array>,
  { timestamps }: { timestamps: boolean },
): AsyncGenerator<LogLine, void> {
  const queue = new ByteQueue(bytes), decoder = new TextDecoder();
  while (!await queue.ended()) {
    const header = await queue.take(HEADER_BYTES);
    const length = header.length < HEADER_BYTES ? Infinity : new DataView(header.buffer).getUint32(4);
    if (length > MAX_FRAME_BYTES) throw broken();
    const body = await queue.take(length);
    if (body.length < length) throw broken();
    const stream = (["", "stdout", "stderr", "system"] as const)[header[0]!];
    if (!stream) throw broken();
    const text = decoder.decode(body);
    if (stream === "system") yield { stream, details: new Map(), time: "", text };
    else yield { stream, ...parts(text, timestamps) };
  }
}

function broken(): CoveyError {
  return new CoveyError("data_loss", "Cannot read the log: the manager's answer broke off");
}

/** `[TIME ]DETAILS TEXT` */
function parts(whole: string, timestamps: boolean): Omit<LogLine, "stream"> {
  let rest = whole;
  const word = () => {
    const at = rest.indexOf(" ") + 1, found = rest.slice(0, at - 1);
    rest = rest.slice(at);
    return found;
  };
  const time = timestamps ? word() : "", details = new URLSearchParams(word().replaceAll(",", "&"));
  return { time, details: new Map(details), text: rest };
}
