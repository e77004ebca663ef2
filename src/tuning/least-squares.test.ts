import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fitWeights, stepSums } from './least-squares.ts';

interface Case {
  readonly cleans: readonly (readonly number[])[];
  readonly target: readonly number[];
  readonly prior: readonly number[];
  readonly shrinkage: number;
  readonly weights: readonly number[];
}

const path = new URL('../../test/fixtures/tuning/constrained-least-squares.json', import.meta.url);
const cases: readonly Case[] = JSON.parse(readFileSync(path, 'utf8'));

describe('the weights of a step', () => {
  it.each(cases)('are those of NumPy, with shrinkage $shrinkage', (known) => {
    const cleans = known.cleans.map((values) => Float32Array.from(values));
    const sums = stepSums(Float32Array.from(known.target), cleans);
    const weights = fitWeights(sums, known.prior, known.shrinkage);
    expect(weights).toHaveLength(known.weights.length);
    for (const [j, weight] of weights.entries()) expect(weight).toBeCloseTo(known.weights[j], 9);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
  });

  it('leave out a clean sample that adds nothing', () => {
    const newest = Float32Array.of(1, 2, 3);
    const older = Float32Array.of(0, 1, 5);
    const target = Float32Array.of(2, 3, 1); // 2 newest - older
    expect(fitWeights(stepSums(target, [newest, older, older]), [1], 0)).toEqual([2, -1, 0]);
    expect(fitWeights(stepSums(target, [newest, newest]), [1], 0)).toEqual([1, 0]);
  });
});
