/** A manager's member of the quorum with the checker beside it, and bugs put in on purpose. */
import type { DirtyRecord, StateMachine } from "../../../manager/consensus/state_machine.ts";
import type { RaftMember } from "../../../manager/consensus/member/mod.ts";
import type { Store } from "../../../manager/store/mod.ts";
import type { ClusterChecker, ManagerView } from "./checker.ts";
import type { Faults } from "./faults.ts";
import type { Refusals } from "./refusals.ts";

/** Shows `checker` what `member` does; everything else goes through to the production code. */
export function watched(
  member: RaftMember,
  checker: ClusterChecker,
  view: ManagerView,
  faults: Faults,
  refusals: Refusals,
): RaftMember {
  member.subscribe((status) => checker.guard(() => checker.status(view, status)));
  const own: Partial<RaftMember> = {
    async start(machine) {
      (machine as StateMachine & Store).subscribe((commit) =>
        checker.guard(() => checker.publishes(view, commit))
      );
      await member.start(watchedMachine(machine, checker, view, faults));
      checker.guard(() => checker.status(view, member.status()));
    },
    async propose(entry, local) {
      const { term } = member.status();
      const index = await refusals.propose(() => member.propose(entry, local));
      checker.guard(() => checker.acknowledges(view.name, term, index, entry));
      return index;
    },
    ...(faults.readWithoutBarrier && { readBarrier: () => Promise.resolve() }),
  };
  return new Proxy(member, {
    get(target, name) {
      const value = Reflect.get(own, name) ?? Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function watchedMachine(
  machine: StateMachine,
  checker: ClusterChecker,
  view: ManagerView,
  faults: Faults,
): StateMachine {
  return {
    apply: (index, entry, local) =>
      checker.guard(() => checker.applies(view, index, entry, () => machine.apply(index, entry, local))),
    unreadable: (entry) => machine.unreadable(entry),
    image() {
      const image = machine.image(), records: DirtyRecord[] = [];
      return {
        add: ({ key, value }) => void records.push({ key, value: value?.slice() }),
        adopt(index) {
          const forgets = faults.forgetRestored && view.loaded;
          for (const record of forgets ? records.slice(0, Math.ceil(records.length / 2)) : records) {
            image.add(record);
          }
          checker.guard(() => checker.restores(view, index, () => image.adopt(index)));
        },
      };
    },
    records: () => machine.records(),
    takeDirty: () => faults.forgetDirty ? [...machine.takeDirty()].slice(0, -1) : machine.takeDirty(),
  };
}
