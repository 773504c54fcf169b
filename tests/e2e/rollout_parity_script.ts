/** Sessions of the stock client whose outcome must be that of Docker Swarm: updates, rollbacks, scaling, jobs. */

/** What a service's tasks run: as the variable V says. */
const PROGRAM =
  `busybox:local sh -c 'case $V in bad*) sleep 0.3; exit 1;; half) [ $(hostname) -gt 2 ] || exit 1;; most) [ $(hostname) -gt 3 ] || exit 1;; ` +
  `later*) [ ! -e /flag/bad ] || exit 1;; job) exit 0;; flaky) ! mkdir /data/$(hostname); exit;; esac; exec sleep 1000'`;
const COMMON = "--detach --init --env V=one --hostname {{.Task.Slot}} --stop-grace-period 1s";

/** `service create` with what all have in common; `flags` come last, so that they may say otherwise. */
const create = (name: string, flags: string) =>
  `service create ${COMMON} --name ${name} --restart-condition none ${flags} ${PROGRAM}`;
const to = (name: string, version: string, flags = "--detach") =>
  `service update ${flags} --env-add V=${version} ${name}`;

/** A service of two that can be made to fail while it is rolled back. A loaded machine does not use up these times. */
const SPOILT = "--replicas 2 --mount type=bind,source=$FLAG,target=/flag --env V=later " +
  "--update-failure-action rollback --update-delay 6s --update-monitor 5s --rollback-monitor 5s --rollback-delay 6s";

/**
 * By what it shows: one command of the stock client a line. `outcome SERVICE` waits on each side until the service is at rest
 * and compares what has become of it; `wanted SERVICE` leaves out what has ended, where how far something came is chance, and
 * after scaling down, when Docker forgets what ran in a slot only with the next change of the service;
 * `run SERVICE` leaves out what earlier runs of a job have left, and the state of an update: for Docker, the rollback of a job
 * has begun and never ends;
 * `spoil` and `mend` make and remove the file by which version `later` fails. $FLAG is its folder. $VOLUME begins the names
 * of volumes.
 */
export const ROLLOUT_SESSIONS: Readonly<Record<string, readonly string[]>> = {
  "parallelism, delay, monitor and order, of updates and rollbacks": [
    create(
      "web",
      "--replicas 4 --update-parallelism 2 --update-delay 300ms --update-monitor 400ms --update-order stop-first " +
        "--rollback-parallelism 0 --rollback-delay 200ms --rollback-monitor 500ms --rollback-order start-first",
    ),
    "outcome web",
    "service inspect web --format '{{json .Spec.UpdateConfig}} {{json .Spec.RollbackConfig}}'",
    to("web", "two"),
    "outcome web",
    "service rollback --detach web",
    "outcome web",
    "service update --detach --rollback web",
    "outcome web",
    to("web", "three", "--detach --update-parallelism 0 --update-order start-first"),
    "outcome web",
    "service rollback --detach web",
    "outcome web",
    "service update --detach --force web",
    "outcome web",
    "service update --detach --constraint-add node.role==manager web",
    "outcome web",
    "service scale --detach web=6",
    "outcome web",
    "service scale --detach web=2",
    "wanted web",
    "service rollback --detach web",
    "wanted web",
    "service rm web",
  ],
  "a failure pauses, and the next update goes on": [
    create(
      "pausing",
      // No update is waited for that long: each stops where its first task fails, however late that is heard of.
      "--replicas 3 --update-failure-action pause --update-delay 20s --update-monitor 15s --rollback-monitor 500ms",
    ),
    "outcome pausing",
    to("pausing", "bad", ""),
    "outcome pausing",
    "service scale --detach pausing=4",
    "outcome pausing",
    to("pausing", "two", "--detach --update-delay 0s --update-parallelism 0 --update-monitor 500ms"),
    "outcome pausing",
    to("pausing", "bad", "--detach --update-delay 20s --update-parallelism 1 --update-monitor 15s"),
    "outcome pausing",
    "service rollback --detach pausing",
    "outcome pausing",
    "service rm pausing",
  ],
  "failures are passed over, tolerated or too many": [
    create(
      "failing",
      "--replicas 4 --update-failure-action continue --update-monitor 3s --update-parallelism 0",
    ),
    "outcome failing",
    to("failing", "bad"),
    "outcome failing",
    to("failing", "two"),
    "outcome failing",
    to("failing", "half", "--detach --update-failure-action pause --update-max-failure-ratio 0.5"),
    "outcome failing",
    to("failing", "most"),
    "outcome failing",
    "service rm failing",
  ],
  "a failure rolls back": [
    create(
      "back",
      "--replicas 3 --update-failure-action rollback --update-delay 3s --update-monitor 2s --update-max-failure-ratio 0.1 " +
        "--rollback-parallelism 2 --rollback-delay 0s --rollback-monitor 500ms --rollback-order start-first",
    ),
    "outcome back",
    to("back", "bad", ""),
    "outcome back",
    "service rollback --detach back",
    to("back", "two"),
    "outcome back",
    "service rm back",
  ],
  // A service each: which slot fails first is chance, and a second failure would meet the same one or another.
  "a rollback that fails pauses, goes on, or is tolerated": [
    "mend",
    create("twice", `${SPOILT} --rollback-failure-action pause`),
    "outcome twice",
    "spoil",
    to("twice", "bad"),
    "outcome twice",
    "mend",
    to("twice", "later2"),
    "outcome twice",
    "service rm twice",
    create("on", `${SPOILT} --rollback-failure-action continue --rollback-parallelism 0`),
    "outcome on",
    "spoil",
    to("on", "bad"),
    "outcome on",
    "mend",
    "service rm on",
    create("borne", `${SPOILT} --rollback-failure-action pause --rollback-max-failure-ratio 1`),
    "outcome borne",
    "spoil",
    to("borne", "bad"),
    "outcome borne",
    "service rm borne",
  ],
  "a newer update takes over": [
    create("newer", "--replicas 3 --update-delay 3s --update-monitor 200ms"),
    "outcome newer",
    to("newer", "two"),
    to("newer", "three", "--detach --update-delay 0s"),
    "wanted newer",
    "service rm newer",
  ],
  "restarts end after their attempts, and a new spec counts anew": [
    create(
      "tries",
      "--replicas 2 --restart-condition any --restart-max-attempts 2 --restart-delay 200ms " +
        "--update-failure-action continue --update-monitor 200ms --update-parallelism 0 --env V=bad",
    ),
    "outcome tries",
    to("tries", "half"),
    "outcome tries",
    to("tries", "two"),
    "outcome tries",
    "service rm tries",
  ],
  "a global service": [
    create(
      "each",
      "--mode global --update-monitor 2s --rollback-monitor 500ms --restart-condition any --restart-delay 60s",
    ),
    "outcome each",
    to("each", "two"),
    "outcome each",
    "service rollback --detach each",
    "outcome each",
    to("each", "three", "--detach --update-order start-first"),
    "outcome each",
    "service update --detach --constraint-add node.role==worker each",
    "outcome each",
    "service rm each",
  ],
  "a replicated job": [
    create("job", "--mode replicated-job --replicas 4 --max-concurrent 2 --env V=job"),
    "run job",
    to(
      "job",
      "flaky",
      "--detach --restart-condition on-failure --restart-delay 200ms --mount-add type=volume,source=$VOLUME-job,target=/data",
    ),
    "run job",
    to("job", "job", "--detach --replicas 3"),
    "run job",
    "service scale --detach job=2",
    "run job",
    "service rollback --detach job",
    "run job",
    "service rm job",
  ],
  "a global job": [
    create(
      "jobs",
      "--mode global-job --restart-condition on-failure --restart-delay 200ms --env V=flaky " +
        "--mount type=volume,source=$VOLUME-jobs,target=/data",
    ),
    "run jobs",
    to("jobs", "job"),
    "run jobs",
    "service update --detach --force jobs",
    "run jobs",
    "service rm jobs",
  ],
};
