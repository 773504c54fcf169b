/** Runs each replicated job as often as it asks, so many at once (SwarmKit `manager/orchestrator/jobs/replicated`). */
import type { Service } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import type { ComponentOptions } from "../../leader/commit_loop.ts";
import type { WriteTransaction } from "../../store/store.ts";
import { isLeftover, isOfIteration } from "../../task/task.ts";
import { ReplicatedOrchestrator } from "../replicated_orchestrator.ts";
import type { Verdict } from "../service_orchestrator.ts";
import { jobVerdict, slotsToStart } from "./job.ts";

/** The orchestrator of replicated jobs. A task that failed, or whose node is lost, is followed by another in its slot. */
export class ReplicatedJobOrchestrator extends ReplicatedOrchestrator {
  constructor(options: ComponentOptions) {
    super(options, "replicated-job");
  }

  /** The next one may start. */
  protected override onEnded(task: Task): void {
    this.dirtyServices.add(task.ServiceID);
  }

  protected override judge(view: Pick<WriteTransaction, "get">, service: Service, task: Task): Verdict {
    return jobVerdict(service, task, () => super.judge(view, service, task));
  }

  protected override async reconcile(service: Service): Promise<void> {
    if (!("ReplicatedJob" in service.Spec.Mode)) return;
    const { TotalCompletions } = service.Spec.Mode.ReplicatedJob;
    const tasks = this.options.store.find("tasks", "serviceID", service.ID);
    // Of slots that the job has no longer, nothing would ever make history short.
    const beyond = tasks.filter((task) =>
      !isOfIteration(service, task) && (task.Slot ?? 0) >= TotalCompletions
    );
    await this.remove([...tasks.filter((task) => isLeftover(service, task)), ...beyond]);
    const present = tasks.filter((task) => isOfIteration(service, task));
    await this.fill(service, slotsToStart(service.Spec.Mode.ReplicatedJob, present));
  }
}
