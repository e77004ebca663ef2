import { afterAll, describe, expect, it } from 'vitest';
import { randomTensor } from '../../test/support/evaluate.ts';
import { relativeError } from '../../test/support/golden.ts';
import { openCpu } from '../runtime/node.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { clipFactor, compileOptimizer, initialState, type OptimizerOptions } from './optimizer.ts';

const device = openCpu();
afterAll(() => device.dispose());

const options: OptimizerOptions = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05, ema: 0.99 };
/** More than one piece of the optimizer's, and not a multiple of it. */
const LARGE = [667, 301];

/** torch.optim.AdamW in doubles, for one weight. */
function reference(start: number, gradients: readonly number[], learningRate: number): [number, number] {
  let [weight, first, second, average] = [start, 0, 0, start];
  for (const [i, gradient] of gradients.entries()) {
    weight *= 1 - learningRate * options.weightDecay;
    first = 0.9 * first + 0.1 * gradient;
    second = 0.95 * second + 0.05 * gradient ** 2;
    const corrected = Math.sqrt(second / (1 - 0.95 ** (i + 1))) + options.epsilon;
    weight -= (learningRate * (first / (1 - 0.9 ** (i + 1)))) / corrected;
    average = options.ema * average + (1 - options.ema) * weight;
  }
  return [weight, average];
}

describe('AdamW', () => {
  it('takes the steps of a plain loop in doubles, on large and small tensors', async () => {
    const optimizer = await compileOptimizer(device, options);
    const shapes: [string, number[]][] = [
      ['large', LARGE],
      ['small', [2, 3]],
    ];
    const start = new Map(shapes.map(([name, shape], i) => [name, randomTensor(shape, i)]));
    const steps = [1, 2, 3].map(
      (step) => new Map(shapes.map(([name, shape]) => [name, randomTensor(shape, 10 * step)])),
    );
    const state = initialState(
      new Map([...start].map(([name, value]) => [name, { ...value, data: value.data.slice() }])),
    );
    for (const [i, gradients] of steps.entries()) {
      await optimizer.step(state, gradients, { learningRate: 0.01, step: i + 1, gradientScale: 0.5 });
    }
    for (const [name, { data, shape }] of start) {
      const expected = Array.from(data, (value, i) =>
        reference(
          value,
          steps.map((gradients) => 0.5 * gradients.get(name)!.data[i]),
          0.01,
        ),
      );
      const part = (which: 0 | 1): Tensor =>
        float32(
          shape,
          expected.map((pair) => pair[which]),
        );
      expect(relativeError(state.weights.get(name)!, part(0))).toBeLessThan(1e-6);
      expect(relativeError(state.ema.get(name)!, part(1))).toBeLessThan(1e-6);
    }
  });

  it.each([0, 1e-12, 1e-3])(
    'leaves a weight whose gradient is 0 to weight decay alone, at rate %d',
    async (learningRate) => {
      const optimizer = await compileOptimizer(device, options);
      const state = initialState(new Map([['w', float32([2], [1, -2])]]));
      const gradients = new Map([['w', float32([2], [0, 3])]]);
      await optimizer.step(state, gradients, { learningRate, step: 1, gradientScale: 1 });
      const [kept, moved] = state.weights.get('w')!.data;
      expect(kept).toBe(Math.fround(1 - learningRate * 0.05));
      expect(moved).toBeCloseTo(-2 * (1 - learningRate * 0.05) - learningRate, 6);
      expect(state.firstMoments.get('w')!.data[1]).toBeCloseTo(0.3, 6);
    },
  );

  it('starts with the average at the weights, in memory of its own', () => {
    const weights = new Map([['w', float32([2], [1, 2])]]);
    const { ema, firstMoments, secondMoments } = initialState(weights);
    expect(ema).toEqual(weights);
    expect(ema.get('w')!.data).not.toBe(weights.get('w')!.data);
    expect(firstMoments.get('w')).toEqual(zeros('float32', [2]));
    expect(secondMoments.get('w')).toEqual(zeros('float32', [2]));
  });
});

describe('clipping', () => {
  it('measures all gradients together', async () => {
    const optimizer = await compileOptimizer(device, options);
    const gradients = new Map([
      ['a', float32([2], [3, 0])],
      ['b', float32([1, 1], [-4])],
      ['large', float32(LARGE, new Float32Array(LARGE[0] * LARGE[1]).fill(0.1))],
    ]);
    const norm = Math.sqrt(25 + LARGE[0] * LARGE[1] * Math.fround(0.1) ** 2);
    expect((await optimizer.norm(gradients)) / norm).toBeCloseTo(1, 6);
    gradients.get('a')!.data[1] = Number.NaN;
    expect(await optimizer.norm(gradients)).toBeNaN();
  });

  it('scales a norm down to the limit, and never up', () => {
    expect(clipFactor(10, 1)).toBeCloseTo(0.1, 6);
    expect(clipFactor(0.5, 1)).toBe(1);
    expect(clipFactor(0, 1)).toBe(1);
  });
});
