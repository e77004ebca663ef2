import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../errors.ts';
import { type LearningRateSchedule, learningRate } from './learning-rate.ts';

const rates = (schedule: LearningRateSchedule, steps: readonly number[]) =>
  steps.map((step) => learningRate(schedule, step));

describe('learningRate', () => {
  it('warms up linearly, then stays', () => {
    const schedule = { kind: 'constant', peak: 8, totalSteps: 10, warmupSteps: 4 } as const;
    expect(rates(schedule, [0, 1, 2, 3, 4, 9, 99])).toEqual([2, 4, 6, 8, 8, 8, 8]);
  });

  it('follows half a cosine to 0', () => {
    const schedule = { kind: 'cosine', peak: 2, totalSteps: 104, warmupSteps: 4 } as const;
    const [first, start, middle, end, beyond] = rates(schedule, [0, 4, 54, 104, 200]);
    expect(first).toBe(0.5);
    expect(start).toBe(2);
    expect(middle).toBeCloseTo(1, 12);
    expect([end, beyond]).toEqual([0, 0]);
  });

  it('decays to 1/64 over the last 15% in wsd, as the official code', () => {
    const schedule = { kind: 'wsd', peak: 64, totalSteps: 200 } as const;
    expect(rates(schedule, [0, 100, 170])).toEqual([64, 64, 64]);
    expect(learningRate(schedule, 175)).toBeCloseTo(32, 10);
    expect(learningRate(schedule, 185)).toBeCloseTo(8, 10);
    expect(rates(schedule, [200, 999])).toEqual([1, 1]);
  });

  it('takes another share of decay', () => {
    const schedule = { kind: 'wsd', peak: 64, totalSteps: 100, decayFraction: 0.5 } as const;
    expect(rates(schedule, [50, 75, 100])).toEqual([64, 8, 1]);
    expect(learningRate({ ...schedule, decayFraction: 0 }, 100)).toBe(64);
  });

  it('stays between 0 and the peak, up during warm-up and never up after', () => {
    const kind = fc.constantFrom('constant', 'cosine', 'wsd') as fc.Arbitrary<LearningRateSchedule['kind']>;
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(kind, fc.integer({ min: 2, max: 60 }), share, share, (kind, totalSteps, warm, decay) => {
        // Decay only begins after the warm-up.
        const warmupSteps = Math.floor(warm * (1 - decay) * totalSteps);
        const schedule = { kind, peak: 3, totalSteps, warmupSteps, decayFraction: decay };
        const all = rates(schedule, [...Array(totalSteps + 5).keys()]);
        for (const [step, rate] of all.entries()) {
          expect(rate).toBeGreaterThanOrEqual(0);
          expect(rate).toBeLessThanOrEqual(3);
          if (step === 0) continue;
          if (step < warmupSteps) expect(rate).toBeGreaterThan(all[step - 1]);
          else expect(rate).toBeLessThanOrEqual(all[step - 1] + (step === warmupSteps ? 3 : 0));
        }
      }),
    );
  });

  it.each([
    { peak: -1 },
    { peak: Number.NaN },
    { totalSteps: 0 },
    { warmupSteps: 11 },
    { decayFraction: 1.5 },
  ])('refuses %o', (wrong) => {
    const schedule = { kind: 'wsd', peak: 1, totalSteps: 10, ...wrong } as const;
    expect(() => learningRate(schedule, 0)).toThrow(ConfigError);
  });
});
