/** Scenarios of `docs/reliability.md` that need time: each told by a test, with many seeds for what it leaves open. */
import assert from "node:assert/strict";
import { Scenario } from "./scenario.ts";

const SEEDS = 25;

function scenario(name: string, size: number, run: (scenario: Scenario) => void): void {
  Deno.test(name, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        const scenario = new Scenario(seed, size);
        run(scenario);
        scenario.converge();
      } catch (thrown) {
        throw new Error(`seed ${seed}`, { cause: thrown });
      }
    }
  });
}

/** Kills the leader and waits for the next, a few times. */
function changeLeaders(scenario: Scenario, times: number): void {
  for (let i = 0; i < times; i++) {
    const old = scenario.elect();
    old.crash();
    scenario.elect();
    old.start();
    scenario.run(500);
  }
}

scenario(
  "Scenario 5: requests for votes that reach two of five a second or two late delay nobody",
  5,
  (sim) => {
    sim.extraMs = ({ type, to }) => /vote$/.test(type) && to >= 4 ? sim.random.between(1000, 2000) : 0;
    sim.load();
    changeLeaders(sim, 4);
  },
);

scenario("Scenario 5: votes that three of five give a second or two late make no second leader", 5, (sim) => {
  sim.elect();
  sim.extraMs = ({ type, from }) =>
    /vote_response$/.test(type) && from >= 3 ? sim.random.between(1000, 2000) : 0;
  sim.load();
  for (let i = 0; i < 3; i++) {
    const old = sim.leader;
    old?.crash();
    sim.run(5_000);
    old?.start();
  }
});

scenario("Scenario 17: what a leader had queued when it was paused is refused when it wakes up", 3, (sim) => {
  const old = sim.elect();
  const { term } = old.raft!;
  sim.load();
  sim.run(300);
  old.pausedUntil = sim.queue.now + 5_000;
  for (let i = 0; i < 20; i++) {
    old.propose(new Uint8Array(8));
    old.read();
    sim.run(200);
  }
  const next = sim.elect();
  assert.notEqual(next, old);
  assert.ok(next.raft!.term > term);
  sim.until("the old leader follows", () => sim.queue.now > old.pausedUntil && !old.isLeader);
  sim.run(1_000);
  assert.equal(sim.leader, next, "the one that wakes up disturbs nobody");
});

scenario("Scenario 18: members clogged one by one and freed in another order lose nothing", 5, (sim) => {
  sim.elect();
  sim.load();
  for (let round = 0; round < 3; round++) {
    const ids = sim.random.shuffled([1, 2, 3, 4, 5]).slice(0, sim.random.between(1, 5));
    for (const id of ids) {
      sim.clog(id);
      sim.run(sim.random.between(50, 800));
    }
    sim.run(sim.random.between(0, 3000));
    for (const id of sim.random.shuffled(ids)) {
      sim.unclog(id);
      sim.run(sim.random.between(50, 800));
    }
  }
});

scenario("Scenario 33: each transfer under load takes one election and loses nothing", 3, (sim) => {
  sim.elect();
  sim.load();
  for (let i = 0; i < 10; i++) {
    const old = sim.elect();
    const target = sim.random.pick(sim.nodes().filter((node) => node !== old));
    const elections = sim.terms.length;
    const before = sim.checker.acknowledged;
    sim.until("the transfer is taken", () => {
      let taken = false;
      old.act((raw) => taken = raw.transferLeadership(target.id).ok);
      return taken;
    });
    sim.until("the target leads", () => sim.leader === target);
    assert.equal(sim.terms.length, elections + 1);
    sim.until("writes go on", () => sim.checker.acknowledged > before + 3);
  }
});

scenario(
  "Scenario 61: power cuts to all at once, under load, lose nothing that was acknowledged",
  3,
  (sim) => {
    sim.load();
    for (let i = 0; i < 6; i++) {
      sim.elect();
      sim.run(sim.random.between(100, 1000));
      for (const node of sim.nodes()) node.crash();
      for (const node of sim.random.shuffled(sim.nodes())) {
        node.start();
        if (i % 2 === 1) sim.run(sim.random.between(0, 1500));
      }
    }
  },
);
