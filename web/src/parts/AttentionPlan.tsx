/** @file The attention plan: a row per block, with the blocks that it attends to. The current row is lit. */

import { type Attending, attendedBlocks, describeAttention, describePlan } from '../model/plan.ts';

interface PlanProps {
  readonly model: Attending;
  /** The block in progress; undefined before and after. */
  readonly current: number | undefined;
}

/** Max rows that are drawn: in longer plans, those around the current block. */
const MAX_ROWS = 16;

export function AttentionPlan({ model, current }: PlanProps) {
  const { blocks } = model;
  const first = Math.max(0, Math.min(blocks - MAX_ROWS, (current ?? 0) - MAX_ROWS / 2));
  const rows = Array.from({ length: Math.min(blocks, MAX_ROWS) }, (_, i) => Math.floor(first) + i);
  return (
    <figure class="plan">
      <svg
        viewBox={`0 0 ${blocks} ${rows.length}`}
        style={{ aspectRatio: `${blocks} / ${rows.length}` }}
        aria-hidden="true"
      >
        {rows.map((row, y) => {
          const attended = attendedBlocks(row, model);
          return Array.from({ length: blocks }, (_, column) => {
            const kind = column === row ? 'own' : attended.includes(column) ? 'clean' : 'absent';
            const lit = row === current ? ' lit' : '';
            return (
              <rect
                key={`${row} ${column}`}
                class={kind + lit}
                x={column + 0.06}
                y={y + 0.06}
                width="0.88"
                height="0.88"
                rx="0.14"
              />
            );
          });
        })}
      </svg>
      <figcaption>
        {current === undefined || current >= blocks ? describePlan(model) : describeAttention(current, model)}
      </figcaption>
    </figure>
  );
}
