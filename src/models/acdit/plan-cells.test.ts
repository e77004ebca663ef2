import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ATTENTION_NAMES } from './attention.ts';
import { denseMask } from './attention-plan.ts';
import { paperConfig } from './config.ts';
import { blockPlan, CELL, planCells, planNumbers, planText } from './plan-cells.ts';
import { planDrawing } from './plan-drawing.ts';

const configOf = (blocks: number, blockSize: number) => ({ ...paperConfig('B', 'image'), blocks, blockSize });

const plans = fc
  .record({
    blocks: fc.integer({ min: 1, max: 12 }),
    blockSize: fc.constantFrom(1, 3, 16, 64, 130),
    attention: fc.oneof(
      fc.constantFrom(...ATTENTION_NAMES),
      fc.record({ window: fc.integer({ min: 1, max: 3 }), sinks: fc.integer({ min: 0, max: 2 }) }),
    ),
  })
  .map(({ blocks, blockSize, attention }) => blockPlan({ ...configOf(blocks, blockSize), attention }));

describe('planCells', () => {
  it('are the blocks of the dense mask', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const cells = planCells(plan);
        const mask = denseMask(plan.plan);
        const { blocks, blockSize } = plan;
        for (let query = 0; query < blocks; query++) {
          for (let key = 0; key < blocks; key++) {
            const allowed =
              mask[(query * blockSize + blockSize - 1) * blocks * blockSize + key * blockSize] === 1;
            expect(cells[query * blocks + key] === CELL.attended).toBe(allowed);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it('agree with the numbers of the plan', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { computed, needed, dense } = planNumbers(plan);
        const pairs = plan.blockSize ** 2;
        const cells = planCells(plan);
        expect(cells.filter((cell) => cell !== CELL.skipped).length * pairs).toBe(computed);
        expect(cells.filter((cell) => cell === CELL.attended).length * pairs).toBe(needed);
        expect(cells.length * pairs).toBe(dense);
      }),
      { numRuns: 50 },
    );
  });
});

describe('drawings of a plan', () => {
  it('fit a screen even with a thousand blocks', () => {
    const plan = blockPlan(configOf(1024, 1));
    const rows = planText(plan).split('\n');
    expect(Math.max(...rows.map((row) => row.length))).toBeLessThan(130);
    expect(rows.some((row) => row.includes('noised 989-1023'))).toBe(true);
    const { body } = planDrawing(plan, { color: (name) => name, text: (content) => content });
    expect(body.join('').length).toBeLessThan(2e6);
  });

  it('show a single block', () => {
    const text = planText(blockPlan(configOf(1, 256)));
    expect(text).toMatch(/1 block of 256 tokens[\s\S]*block 0 +#\n/);
  });
});
