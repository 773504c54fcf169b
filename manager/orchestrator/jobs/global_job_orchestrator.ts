/**
 * Runs each global job once on every eligible node (SwarmKit `manager/orchestrator/jobs/global`). Different from SwarmKit,
 * for devices that may be offline: one that joins or returns later runs it then, and an outage does not end it.
 */
import type { Service } from "../../../api/service.ts";
import type { Task } from "../../../api/task.ts";
import type { ComponentOptions } from "../../leader/commit_loop.ts";
import type { ReadView } from "../../store/store.ts";
import { isLeftover } from "../../task/task.ts";
import { GlobalOrchestrator } from "../global_orchestrator.ts";
import type { Verdict } from "../service_orchestrator.ts";
import { jobVerdict } from "./job.ts";

/** The orchestrator of global jobs. */
export class GlobalJobOrchestrator extends GlobalOrchestrator {
  constructor(options: ComponentOptions) {
    super(options, "global-job");
  }

  protected override judge(view: ReadView, service: Service, task: Task): Verdict {
    return jobVerdict(service, task, () => super.judge(view, service, task));
  }

  protected override async reconcile(service: Service): Promise<void> {
    const tasks = this.options.store.find("tasks", "serviceID", service.ID);
    await this.remove(tasks.filter((task) => isLeftover(service, task)));
    await super.reconcile(service);
  }
}
