/** @file Work that no connection waits for; the server waits for it before it ends. */

export interface Background {
  /** Adds work, which must not reject. */
  add(task: Promise<void>): void;
  /** Resolves once there is no more work. */
  idle(): Promise<void>;
}

/** Makes a set of tasks, empty at first. */
export function createBackground(): Background {
  const tasks = new Set<Promise<void>>();
  return {
    add(task) {
      tasks.add(task);
      void task.finally(() => tasks.delete(task));
    },
    async idle() {
      while (tasks.size > 0) await Promise.all(tasks);
    },
  };
}
