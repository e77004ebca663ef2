import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../../test/support/tiny-config.ts';
import { ConfigError } from '../../errors.ts';
import {
  type AttentionSetting,
  attentionOf,
  attentionProblem,
  cleanBlocks,
  describeAttention,
  finishedBlock,
  sequencePredicate,
} from './attention.ts';
import { compilePlan, planCost, skipCausal } from './attention-plan.ts';
import { type AcditConfig, paperConfig, validateConfig } from './config.ts';
import { appendCost, sampleCost, stepCost, trainingCost } from './cost.ts';

const BLOCKS = 6;
const numbers = Array.from({ length: BLOCKS }, (_, i) => i);

/** A lower triangular table with its diagonal, by bits. */
const table = fc
  .array(fc.boolean(), { minLength: 36, maxLength: 36 })
  .map((bits) =>
    numbers.map((row) =>
      numbers
        .map((column) => (column === row || (column < row && bits[row * BLOCKS + column]) ? '1' : '0'))
        .join(''),
    ),
  );
const settings: fc.Arbitrary<AttentionSetting> = fc.oneof(
  fc.constantFrom('skip-causal' as const, 'block-causal' as const),
  fc.record({ window: fc.integer({ min: 1, max: 8 }), sinks: fc.nat(8) }),
  fc.record({ noised: table, clean: table }),
  fc.record({ noised: table }),
);

describe('attention', () => {
  it('attends in sampling what it attends in the training sequence', () => {
    fc.assert(
      fc.property(settings, (attention) => {
        expect(attentionProblem(attention, BLOCKS)).toBeUndefined();
        const own = attentionOf({ attention });
        for (const block of numbers) {
          for (const query of [{ block, clean: false }, finishedBlock(own, block)]) {
            const seen = numbers.filter((key) => key < block && own.sees(query, finishedBlock(own, key)));
            expect(own.before(query)).toEqual(seen);
            expect(own.count(query)).toBe(seen.length);
            expect(own.sees(query, query)).toBe(true);
            // A noised block attends itself; sampling has everything else.
            const others = numbers.filter((key) => own.sees(query, { block: key, clean: !own.copies }));
            expect(others).toEqual(own.copies && !query.clean ? [block] : []);
          }
        }
        for (const next of numbers) {
          const later = numbers
            .slice(next)
            .flatMap((block) => [
              ...own.before({ block, clean: false }),
              ...own.before(finishedBlock(own, block)),
            ]);
          expect(own.kept(next)).toEqual(numbers.filter((key) => key < next && later.includes(key)));
        }
      }),
    );
  });

  it('is the paper’s by default', () => {
    const own = sequencePredicate(attentionOf({}), 3);
    const papers = skipCausal(3);
    for (let query = 0; query < 7; query++) {
      for (let key = 0; key < 7; key++) expect(own(query, key)).toBe(papers(query, key));
    }
  });

  it('keeps its sinks and the newest blocks where only some may be attended', () => {
    const attended = (attention: AttentionSetting, block: number, limit: number) =>
      attentionOf({ attention }).before({ block, clean: true }, limit);
    expect(attended('skip-causal', 9, 3)).toEqual([6, 7, 8]);
    expect(attended({ window: 2, sinks: 1 }, 9, 3)).toEqual([0, 7, 8]);
    expect(attended({ window: 5, sinks: 1 }, 9, 3)).toEqual([0, 7, 8]);
    expect(attended({ window: 5, sinks: 7 }, 9, 3)).toEqual([0, 1, 8]);
    expect(attended({ window: 5, sinks: 7 }, 9, 1)).toEqual([8]);
    expect(attended({ window: 2, sinks: 1 }, 2, 3)).toEqual([0, 1]);
  });

  it.each([
    [undefined, 'skip-causal'],
    [{ window: 1 }, 'window of the last block'],
    [{ window: 2, sinks: 1 }, 'window of the last 2 blocks and first block'],
    [{ window: 3, sinks: 2 }, 'window of the last 3 blocks and first 2 blocks'],
    [{ noised: ['1'] }, 'table of 1 blocks'],
  ] as const)('%j is described as %s', (attention, text) => {
    expect(describeAttention(attention)).toBe(text);
  });
});

describe('a configuration', () => {
  const rows = ['1000', '1100', '1110', '1111'];
  it.each<[unknown, RegExp]>([
    ['./mask.mjs', /got '\.\/mask\.mjs'; a model holds the table of a module, and only a recipe/],
    ['block-casual', /got 'block-casual'; did you mean block-causal\?/],
    [null, /must be skip-causal, .* got null/],
    [3, /got 3/],
    [[1], /got a list/],
    [{}, /window of 1 block or more, got undefined/],
    [{ window: 0 }, /window of 1 block or more, got 0/],
    [{ window: 1.5 }, /window of 1 block or more, got 1\.5/],
    [{ window: '2' }, /window of 1 block or more, got 2/],
    [{ window: Number.POSITIVE_INFINITY }, /got Infinity/],
    [{ window: 1, sinks: -1 }, /0 or more sinks, got -1/],
    [{ window: 1, sink: 1 }, /unknown key 'sink'; the keys are window, sinks/],
    [{ noised: rows, path: 'x.mjs' }, /unknown key 'path'; the keys are noised, clean/],
    [{ clean: rows }, /one row for each of 4 blocks in noised, got undefined/],
    [{ noised: rows.slice(1) }, /one row for each of 4 blocks in noised, got 3 rows/],
    [{ noised: ['1000', '1100', '1110', '111'] }, /rows of 4 characters 0 or 1 in noised, got 111/],
    [{ noised: ['1000', '1100', '1110', '111x'] }, /got 111x/],
    [{ noised: ['1000', '1100', '1110', 1111] }, /got 1111/],
    [{ noised: ['1000', '1100', '1100', '1111'] }, /attend itself, and noised block 2 does not/],
    [
      { noised: rows, clean: ['1000', '1101', '1110', '1111'] },
      /look ahead, and clean block 1 attends block 3/,
    ],
    [`${'x'.repeat(5000)}\u001b[31m\n`, /got 'x{77}\.\.\.'/],
  ])('with attention %j is refused in one line', (attention, message) => {
    const config = { ...tinyConfig(), attention } as AcditConfig;
    expect(() => validateConfig(config)).toThrow(ConfigError);
    expect(() => validateConfig(config)).toThrow(message);
    expect(() => validateConfig(config)).toThrow(/^model configuration: attention \P{Cc}*$/u);
  });

  it('cannot have noised context where all blocks are denoised together', () => {
    expect(() => tinyConfig({ attention: 'full', contextNoise: 5 })).toThrow(
      /contextNoise must be 0 for attention full/,
    );
  });
});

describe('what attention costs', () => {
  const base = paperConfig('B', 'video');
  const pair = 2 * base.hidden * base.blockSize ** 2;

  it.each<[AttentionSetting | undefined]>([
    [undefined],
    [{ window: 1 }],
    [{ window: 2, sinks: 1 }],
    ['block-causal'],
    ['full'],
    [{ noised: ['1000', '1100', '1010', '1001'], clean: ['1000', '0100', '0010', '0001'] }],
  ])('is in training that of the pairs that %j needs', (attention) => {
    const config = validateConfig({ ...base, layers: 2, ...(attention && { attention }) });
    const clean = cleanBlocks(config);
    const predicate = sequencePredicate(attentionOf(config), clean);
    const plan = (firstQuery: number) =>
      planCost(compilePlan(clean + config.blocks, config.blockSize, predicate, { firstQuery }));
    // Blocks are larger than a tile, so nothing is computed that is not needed.
    const [all, last] = [plan(0), plan(clean)];
    expect(all.computed).toBe(all.needed);
    const without = trainingCost(config) - 3 * 2 * base.hidden * (all.needed + last.needed);
    const noAttention = validateConfig({ ...config, attention: alone(config) });
    const diagonal = 3 * pair * (2 * config.blocks + (attentionOf(noAttention).copies ? clean : 0));
    expect(without).toBeCloseTo(trainingCost(noAttention) - diagonal, -3);
  });

  /** The same sequence, in which blocks attend themselves alone. */
  function alone(config: AcditConfig): AttentionSetting {
    const rows = Array.from(
      { length: config.blocks },
      (_, i) => `${'0'.repeat(i)}1${'0'.repeat(config.blocks - i - 1)}`,
    );
    return attentionOf(config).copies ? { noised: rows, clean: rows } : { noised: rows };
  }

  it('is in sampling that of the blocks that are attended', () => {
    const own = (attention: AttentionSetting) => validateConfig({ ...base, attention });
    const [skip, window] = [own('skip-causal'), own({ window: 1 })];
    expect(stepCost(window, 1)).toBe(stepCost(skip, 1));
    expect(stepCost(skip, 3) - stepCost(window, 3)).toBe(2 * base.layers * pair);
    expect(appendCost(skip, 2) - appendCost(window, 2)).toBe((base.layers - 1) * pair);
    const causal = own('block-causal');
    expect(sampleCost(causal, 25)).toBe(sampleCost(skip, 25));
    // Each guidance branch has a cache of its own.
    const appends = [0, 1, 2].reduce((sum, block) => sum + appendCost(causal, block), 0);
    expect(sampleCost(causal, 50, 2) - sampleCost(skip, 50, 2)).toBe(appends);
    const full = own('full');
    const whole = validateConfig({ ...base, blocks: 1, blockSize: 4 * base.blockSize });
    expect(sampleCost(full, 25)).toBe(sampleCost(whole, 25));
    expect(stepCost(full, 0)).toBe(stepCost(full, 3));
  });

  it.each<[AttentionSetting, pairs: (blocks: number) => number]>([
    ['skip-causal', (blocks) => ((blocks - 1) * (blocks - 2)) / 2],
    [{ window: 2, sinks: 1 }, (blocks) => 2 * (blocks - 3) + 1],
  ])('of many blocks with attention %j is that of their pairs, and takes no time', (attention, pairs) => {
    const blocks = 2 ** 16;
    const layout = { height: 64, width: 64, patch: 1, blocks, blockSize: 1, layers: 2 };
    const own = (attention: AttentionSetting) => validateConfig({ ...base, ...layout, attention });
    const [config, one] = [own(attention), own({ window: 1 })];
    const started = performance.now();
    const training = trainingCost(config) - trainingCost(one);
    const sampling = sampleCost(config, 1) - sampleCost(one, 1);
    expect(performance.now() - started).toBeLessThan(3000);
    // More than a window of one block: noised blocks in both layers, clean ones in the first.
    const products = 2 * base.hidden * (2 * pairs(blocks) + pairs(blocks - 1));
    expect(training).toBe(3 * products);
    expect(sampling).toBe(products);
  });
});
