/** @file A run as components see it. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Engine, Order } from '../engine/engine.ts';
import { advance, endRun, type Run, startRun } from '../model/run.ts';

export interface RunControl {
  readonly run: Run | undefined;
  readonly busy: boolean;
  /** Stops the current run and begins another. Resolves with how it ended. */
  begin(engine: Engine, order: Order, config: AcditConfig): Promise<Run>;
  stop(): void;
  /** Shows what was made before. */
  show(run: Run): void;
}

export function useRun(onEvent?: (run: Run) => void): RunControl {
  const [run, setRun] = useState<Run>();
  const controller = useRef<AbortController>(undefined);
  useEffect(() => () => controller.current?.abort(), []);

  async function begin(engine: Engine, order: Order, config: AcditConfig): Promise<Run> {
    controller.current?.abort();
    const mine = new AbortController();
    controller.current = mine;
    let current = startRun(order, config);
    const publish = (next: Run): void => {
      current = next;
      if (controller.current !== mine) return;
      setRun(next);
      onEvent?.(next);
    };
    publish(current);
    try {
      for await (const event of engine.sample(order, mine.signal)) publish(advance(current, event));
    } catch (error) {
      const stopped = mine.signal.aborted;
      publish(
        endRun(current, stopped ? 'stopped' : 'failed', stopped ? undefined : (error as Error).message),
      );
    }
    return current;
  }

  return {
    run,
    busy: run?.status === 'waiting' || run?.status === 'running',
    begin,
    stop: () => controller.current?.abort(),
    show(next) {
      controller.current?.abort();
      controller.current = undefined;
      setRun(next);
    },
  };
}
