/** A store over production consensus on a real disk: a group of one member. */
import { systemClock } from "../../api/clock.ts";
import { systemRandom } from "../../api/random.ts";
import { RaftMember } from "../../manager/consensus/member/mod.ts";
import { createStore } from "../../manager/store/memory_store.ts";

/** Opens the store whose log and checkpoints are in `file`; stop `consensus` in the end. */
export async function openDiskStore(file: string) {
  const consensus = await RaftMember.open(file, {
    nodeID: "bench",
    address: "127.0.0.1:2377",
    random: systemRandom,
    clock: systemClock,
    dialer: { dial: () => Promise.reject(new Error("there is nobody else")) },
  });
  const store = createStore(consensus, systemClock);
  await consensus.start(store);
  return { store, consensus };
}
