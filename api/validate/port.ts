/** The shape of a published port, as a service asks for it and as a task reports it. */
import { integer, line, nonZero, oneOfFolded, record } from "./shape.ts";

/** Characters of a port's name: a DNS label. */
const MAX_NAME_LENGTH = 63;

/** A port of which each field by itself is right. */
export const port = record({
  Name: line(MAX_NAME_LENGTH),
  Protocol: oneOfFolded(["tcp", "udp", "sctp"]),
  TargetPort: nonZero(integer(0, 65535)),
  PublishedPort: nonZero(integer(0, 65535)),
  PublishMode: oneOfFolded(["ingress", "host"]),
});
