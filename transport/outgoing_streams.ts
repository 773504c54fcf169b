import { CoveyError } from "../api/errors.ts";
import { FrameType } from "./frames.ts";
import { endQuietly, ItemSender } from "./item_sender.ts";
import { type CallLink, OutgoingCall } from "./outgoing_call.ts";
import { ReceiveQueue } from "./receive_queue.ts";
import type { CallOptions } from "./types.ts";

/** One request, one answer. */
export function callUnary(
  link: CallLink,
  method: string,
  request: unknown,
  options: CallOptions,
): Promise<unknown> {
  return new Promise((result, failed) => {
    new OutgoingCall(link, { kind: "unary", method, request, credit: 0, options }, { result, failed })
      .start();
  });
}

/**
 * The items of one answer. The call is made when the iterator is asked for; `return` works while `next`
 * waits.
 */
export function callServerStream(
  link: CallLink,
  method: string,
  request: unknown,
  options: CallOptions,
): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]() {
      const credit = link.limits.streamWindowBytes;
      let id = 0;
      const queue = new ReceiveQueue(
        credit,
        (bytes) => link.send([FrameType.credit, id, bytes]),
        () => call.cancel(new CoveyError("canceled", `Cannot call ${method}: the consumer left`)),
      );
      const call = new OutgoingCall(link, { kind: "server_stream", method, request, credit, options }, {
        opened: (opened) => id = opened,
        item: (value, bytes) => queue.push(value, bytes),
        ended: () => {
          call.succeed(undefined);
          queue.end();
        },
        failed: (error) => queue.end(error),
      });
      call.start();
      return queue;
    },
  };
}

/** Sends items, gets one answer. `requests` is iterated only once the other end has accepted the call. */
export function callClientStream(
  link: CallLink,
  method: string,
  requests: AsyncIterable<unknown>,
  options: CallOptions,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    let id = 0;
    let sender: ItemSender | undefined;
    const send = (bytes: number) => {
      sender = new ItemSender(link, id, bytes);
      sender.run(requests).catch((error) => call.cancel(CoveyError.from(error)));
    };
    const call = new OutgoingCall(link, {
      kind: "client_stream",
      method,
      request: null,
      credit: 0,
      options,
    }, {
      opened: (opened) => id = opened,
      credit: (bytes) => sender ? sender.addCredit(bytes) : send(bytes),
      result: (value) => {
        sender?.stop();
        resolve(value);
      },
      failed: (error) => {
        sender?.stop();
        reject(error);
      },
    });
    call.start();
  });
}

/**
 * Items both ways. `requests` is iterated only once the other end has accepted the call; the other end's `end` ends what it
 * sends, its `result` the call.
 */
export function callDuplex(
  link: CallLink,
  method: string,
  request: unknown,
  requests: AsyncIterable<unknown>,
  options: CallOptions,
): AsyncIterable<unknown> {
  return {
    [Symbol.asyncIterator]() {
      const credit = link.limits.streamWindowBytes;
      let id = 0;
      let sender: ItemSender | undefined;
      const queue = new ReceiveQueue(
        credit,
        (bytes) => link.send([FrameType.credit, id, bytes]),
        () => call.cancel(new CoveyError("canceled", `Cannot call ${method}: the consumer left`)),
      );
      const send = (bytes: number) => {
        sender = new ItemSender(link, id, bytes);
        sender.run(requests).catch((error) => call.cancel(CoveyError.from(error)));
      };
      const over = (error?: CoveyError) => {
        if (sender) sender.stop();
        else void endQuietly(requests[Symbol.asyncIterator]());
        queue.end(error);
      };
      const call = new OutgoingCall(link, { kind: "duplex", method, request, credit, options }, {
        opened: (opened) => id = opened,
        item: (value, bytes) => queue.push(value, bytes),
        ended: () => queue.end(),
        credit: (bytes) => sender ? sender.addCredit(bytes) : send(bytes),
        result: () => over(),
        failed: over,
      });
      call.start();
      return queue;
    },
  };
}
