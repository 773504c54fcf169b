/** An executor whose programs are there at once and are nothing, so that what an agent itself takes can be seen. */
import { aborted } from "../../api/or_abort.ts";
import type { Controller, ExecutorFactory } from "../../executors/executor.ts";

/** The runtime. */
export const INSTANT = "instant";

const program = (): Controller => {
  const nothing = () => Promise.resolve();
  return {
    prepare: nothing,
    start: nothing,
    wait: (signal) => aborted(signal).then(() => ({ ExitCode: 0 })),
    shutdown: nothing,
    terminate: nothing,
    remove: nothing,
    update: nothing,
    close: nothing,
    handle: () => ({ version: 1, data: {} }),
    status: () => Promise.resolve(undefined),
  };
};

const factory: ExecutorFactory = () =>
  Promise.resolve({
    name: INSTANT,
    runtime: INSTANT,
    capabilities: [],
    describe: () => Promise.resolve({}),
    controller: () => Promise.resolve(program()),
    // What is nothing goes on without an agent, too.
    recover: () => Promise.resolve(program()),
    close: () => Promise.resolve(),
  });

export default factory;
