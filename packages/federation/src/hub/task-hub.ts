import { toPayload } from "../messaging/message.ts";
import { checkTask, parseTask, type FederationTask, type TaskAssignment } from "../tasks/task.ts";
import { MessagingHub } from "./messaging-hub.ts";

/** What a hub hands to others, and what it does for them. */
export abstract class TaskHub<Own extends object = object> extends MessagingHub<Own> {
  /** Stores a task and tells the agent it is for. The same task again changes nothing. Resolves to the task as stored. */
  async assignTask(task: TaskAssignment): Promise<FederationTask> {
    const live = this.ready();
    return parseTask(await live.connection.call("assign_task", { task: checkTask(task) }));
  }

  /** Ends a task that was assigned to this agent, and tells whoever assigned it. Resolves to the task as stored. */
  async reportTaskComplete(taskId: string, result: unknown): Promise<FederationTask> {
    const live = this.ready();
    const { value } = toPayload(result);
    return parseTask(await live.connection.call("complete_task", { task_id: taskId, result: value }));
  }
}
