/** Puts into etcd by gRPC, its own protocol: `KV.Put` written by hand on Node's HTTP/2 client. */
import { type ClientHttp2Session, connect } from "node:http2";
import type { PutClient } from "./http_put.ts";

const HEADERS = {
  ":method": "POST",
  ":path": "/etcdserverpb.KV/Put",
  "content-type": "application/grpc",
  te: "trailers",
};

/** A client on one HTTP/2 connection. */
export function etcdPutClient(url: string, value: Uint8Array, keys: number): PutClient {
  const session = connect(url);
  return { put: (nth) => put(session, putRequest(`k${nth % keys}`, value)), close: () => session.close() };
}

function put(session: ClientHttp2Session, message: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request(HEADERS);
    let status = "";
    stream.on("trailers", (trailers) => status = String(trailers["grpc-status"]));
    stream.on("error", reject);
    stream.on("data", () => {});
    stream.on(
      "end",
      () => status === "0" ? resolve() : reject(new Error(`Cannot put: gRPC status ${status}`)),
    );
    stream.end(message);
  });
}

/** A gRPC frame with a `PutRequest`: field 1 the key, field 2 the value. */
function putRequest(key: string, value: Uint8Array): Uint8Array {
  const keyBytes = new TextEncoder().encode(key);
  const body = [0x0a, ...varint(keyBytes.length), ...keyBytes, 0x12, ...varint(value.length), ...value];
  const frame = new Uint8Array(5 + body.length);
  new DataView(frame.buffer).setUint32(1, body.length);
  frame.set(body, 5);
  return frame;
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [value & 0x7f | 0x80, ...varint(value >>> 7)];
}
