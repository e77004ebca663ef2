import { describe, expect, it } from 'vitest';
import { divergenceOf, rateAt, readRateCurve, requireRateRange } from './rate-range.ts';

/** Losses over the decades of a rate, 40 steps each from 1e-6. */
function lossesOf(steps: number, loss: (decade: number) => number) {
  return Array.from({ length: steps }, (_, i) => {
    const decade = i / 40;
    return { learningRate: 10 ** (decade - 6), loss: loss(decade) };
  });
}

describe('a learning-rate range', () => {
  it('rises by the same factor in each step, from the first rate to the last', () => {
    const range = { from: 1e-4, to: 1, steps: 5 };
    const rates = Array.from({ length: 5 }, (_, step) => rateAt(range, step));
    for (const [i, rate] of [1e-4, 1e-3, 1e-2, 1e-1, 1].entries()) expect(rates[i]).toBeCloseTo(rate, 12);
  });

  it.each([
    [{ from: 0, to: 1 }, 'got 0 and 1'],
    [{ from: -1, to: 1 }, 'got -1 and 1'],
    [{ from: 1, to: 1 }, 'got 1 and 1'],
    [{ from: 1e-3, to: 1e-4 }, 'got 0.001 and 0.0001'],
    [{ from: 1e-3, to: Number.POSITIVE_INFINITY }, 'got 0.001 and Infinity'],
    [{ from: 1e-3, to: 1, steps: 19 }, 'steps must be a whole number of at least 20, got 19'],
    [{ from: 1e-3, to: 1, steps: 20.5 }, 'got 20.5'],
  ])('is refused if it cannot be tested: %o', (range, message) => {
    expect(() => requireRateRange({ steps: 20, ...range })).toThrow(message);
  });
});

describe('the curve of a range test', () => {
  // Falls along a logistic curve with its steepest logarithm near decade 3, and rises again from decade 4 on.
  const fall = (decade: number): number => 1 / (1 + Math.exp(4 * (decade - 3)));
  const usual = (decade: number): number => 0.1 + fall(decade) + 0.05 * Math.max(0, decade - 4) ** 2;

  it('shows where the loss is lowest and where it falls fastest', () => {
    const curve = readRateCurve(lossesOf(240, usual), true);
    // By calculus: the derivative of log(usual) is least at decade 3.3, and that of usual is 0 at 4.258.
    expect(Math.abs(Math.log10(curve.steepest) + 6 - 3.3)).toBeLessThan(0.1);
    expect(Math.abs(Math.log10(curve.lowest) + 6 - 4.258)).toBeLessThan(0.1);
    expect(curve.suggested).toBeCloseTo(0.1 * curve.lowest, 15);
    expect(curve.problem).toBeUndefined();
  });

  it('is read through noise', () => {
    let state = 1;
    const noise = (): number => {
      state = (state * 48271) % 2147483647;
      return 0.8 + (0.4 * state) / 2147483647;
    };
    const curve = readRateCurve(
      lossesOf(240, (decade) => usual(decade) * noise()),
      true,
    );
    expect(Math.abs(Math.log10(curve.lowest) + 6 - 4.258)).toBeLessThan(0.3);
    expect(Math.abs(Math.log10(curve.steepest) + 6 - 3.3)).toBeLessThan(0.3);
  });

  it('suggests nothing if it does not show a rate', () => {
    const falling = readRateCurve(lossesOf(140, usual), false);
    expect(falling).toMatchObject({
      suggested: undefined,
      problem: expect.stringContaining('test higher rates'),
    });
    const flat = readRateCurve(
      lossesOf(240, (decade) => 1 + 0.1 * Math.max(0, decade - 2)),
      true,
    );
    expect(flat).toMatchObject({
      suggested: undefined,
      problem: expect.stringContaining('test lower rates'),
    });
    // Noise alone has a lowest value too.
    const noisy = readRateCurve(
      lossesOf(40, (decade) => 1 + 0.1 * Math.sin(1e4 * decade)),
      true,
    );
    expect(noisy.suggested).toBeUndefined();
    expect(readRateCurve([{ learningRate: 1, loss: 1 }], true).suggested).toBeUndefined();
  });
});

it('a loss diverges once its running mean is four times the lowest one', () => {
  const diverges = divergenceOf();
  expect([1, 1, 1, 3.9, 0.5, 3, 3].map(diverges)).not.toContain(true);
  const later = divergenceOf();
  const losses = [...new Array(20).fill(1), 100];
  expect(losses.map(later).indexOf(true)).toBe(20); // (0.9 (1 - 0.9^20) + 10) / (1 - 0.9^21) > 4
  expect(divergenceOf()(Number.NaN)).toBe(true);
});
