/** What a task manager has in progress, and what may abort it. Pure. */

/**
 * By what may abort it: waiting yields to any change, starting only to the end of the task (a pull shall not begin anew
 * because the task may run now), stopping only to the end of the agent.
 */
export type Activity = "waiting" | "starting" | "stopping";

const ACTIVITIES: readonly Activity[] = ["waiting", "starting", "stopping"];

/** True if `activity` goes on in spite of `cause`. */
export function outlasts(activity: Activity, cause: Activity): boolean {
  return ACTIVITIES.indexOf(activity) > ACTIVITIES.indexOf(cause);
}
