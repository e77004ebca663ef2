import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../errors.ts';
import {
  type Guidance,
  guidanceBranches,
  guidancePasses,
  guidanceProblem,
  guide,
  intervalTimesteps,
  scaleAt,
  scalesOfBlocks,
} from './guidance.ts';
import { createNoiseSchedule } from './noise-schedule.ts';

describe('guide', () => {
  it('goes past the conditional prediction, away from the unconditional one', () => {
    expect([...guide(Float32Array.of(1, 2), Float32Array.of(0, 4), 1.5)]).toEqual([1.5, 1]);
  });

  it('is the conditional prediction at scale 1 and the unconditional one at 0', () => {
    const value = fc.float({ min: -1000, max: 1000, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(value, value)), (pairs) => {
        const [conditional, unconditional] = [0, 1].map((k) => Float32Array.from(pairs, (pair) => pair[k]));
        const differences = [
          guide(conditional, unconditional, 1).map((v, i) => Math.abs(v - conditional[i])),
          guide(conditional, unconditional, 0).map((v, i) => Math.abs(v - unconditional[i])),
        ];
        expect(Math.max(0, ...differences.flatMap((values) => [...values]))).toBeLessThan(1e-6);
      }),
    );
  });

  it('refuses predictions of different lengths', () => {
    expect(() => guide(new Float32Array(2), new Float32Array(3), 1)).toThrow(ShapeError);
  });
});

describe('scales', () => {
  it('rise evenly to the scale at the last block that the model was trained with, and stay there', () => {
    expect(scalesOfBlocks({ scale: 3, schedule: 'linear' }, 6, 4)).toEqual([1.5, 2, 2.5, 3, 3, 3]);
    expect(scalesOfBlocks({ scale: 3, schedule: 'linear' }, 2, 4)).toEqual([1.5, 2]);
    expect(scalesOfBlocks({ scale: 3, schedule: 'linear' }, 1, 1)).toEqual([3]);
  });

  it('are the same in all blocks, or listed, the last of which longer samples keep', () => {
    expect(scalesOfBlocks({ scale: 3 }, 3, 4)).toEqual([3, 3, 3]);
    expect(scalesOfBlocks({ scale: [1, 2, 3, 4] }, 6, 4)).toEqual([1, 2, 3, 4, 4, 4]);
    expect(scalesOfBlocks({ scale: [1, 2, 3, 4] }, 2, 4)).toEqual([1, 2]);
  });

  it('are 1 outside an interval, whose ends are inside', () => {
    const guidance = { scale: [2, 0], interval: [-3, 2] as const };
    expect([-3.01, -3, 0, 2, 2.01].map((ratio) => scaleAt(guidance, 0, ratio))).toEqual([1, 2, 2, 2, 1]);
    expect(scaleAt(guidance, 1, 0)).toBe(0);
    expect(scaleAt({ scale: [2] }, 0, 100)).toBe(2);
  });
});

describe('an interval', () => {
  it('is shown as the timesteps that it guides', () => {
    // ln(signal^2 / noise^2) is -2 ln(noise / signal).
    const schedule = createNoiseSchedule('linear');
    const [from, to] = intervalTimesteps(schedule, [-3.6, 1.8])!;
    const ratio = (t: number): number => schedule.noise[t]! / schedule.signal[t]!;
    expect(ratio(from)).toBeLessThanOrEqual(Math.exp(1.8));
    expect(ratio(from + 1)).toBeGreaterThan(Math.exp(1.8));
    expect(ratio(to)).toBeGreaterThanOrEqual(Math.exp(-0.9));
    expect(ratio(to - 1)).toBeLessThan(Math.exp(-0.9));
    expect(intervalTimesteps(schedule, [20, 30])).toBeUndefined();
  });

  it('may hold every timestep, noise alone too', () => {
    for (const name of ['linear', 'cosine', 'flow'] as const) {
      expect(intervalTimesteps(createNoiseSchedule(name), [-30, 30])).toEqual([999, 0]);
    }
  });
});

describe('a guidance', () => {
  it.each<[string, object]>([
    ['scale', { scale: -1 }],
    ['scale', { scale: [1, Number.NaN] }],
    ['scale', { scale: Number.POSITIVE_INFINITY }],
    ['interval', { scale: 2, interval: [2, -3] }],
    ['interval', { scale: 2, interval: [1, 1] }],
    ['interval', { scale: 2, interval: [1] }],
    ['interval', { scale: 2, interval: [Number.NaN, 1] }],
    ['interval', { scale: 2, interval: 5 }],
    ['schedule', { scale: 2, schedule: 'cosine' }],
    ['schedule', { scale: [2, 3], schedule: 'linear' }],
  ])('with a wrong %s is refused: %j', (part, guidance) => {
    expect(guidanceProblem(guidance as Guidance)).toEqual({ part, problem: expect.stringMatching(/^must /) });
  });

  it.each<Guidance>([
    { scale: 0 },
    { scale: [1, 2], schedule: 'constant' },
    { scale: 2, interval: [-3, 2], schedule: 'linear' },
  ])('is valid: %j', (guidance) => {
    expect(guidanceProblem(guidance)).toBeUndefined();
  });
});

describe('guidanceBranches', () => {
  it('takes two passes where it needs both', () => {
    expect([1, 0, 0.5, 2].map(guidancePasses)).toEqual([1, 1, 2, 2]);
  });

  it('needs one prediction at scales 1 and 0, and both at any other', () => {
    expect([1, 0, 0.5, 1.5, -1].map(guidanceBranches)).toEqual([
      'conditional',
      'unconditional',
      'both',
      'both',
      'both',
    ]);
  });
});
