import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../errors.ts';
import { guidanceBranches, guide } from './guidance.ts';

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

describe('guidanceBranches', () => {
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
