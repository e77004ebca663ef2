import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyEdge, type Measure, normalization, PlanePool, strip, stripCount } from './planes.ts';

const sizes = fc.record({
  channels: fc.integer({ min: 1, max: 4 }),
  height: fc.integer({ min: 1, max: 12 }),
  width: fc.integer({ min: 1, max: 4 }),
  before: fc.integer({ min: 1, max: 14 }),
  after: fc.integer({ min: 1, max: 14 }),
});

describe('strips', () => {
  it('hold the same image however it is cut', () => {
    fc.assert(
      fc.property(sizes, ({ channels, height, width, before, after }) => {
        const pool = new PlanePool();
        const whole = pool.take(channels, height, width, height);
        const values = Float32Array.from({ length: whole.data.length }, (_, i) => i);
        whole.data.set(values);
        const cut = pool.recut(pool.recut(whole, before), after);
        expect(stripCount(cut)).toBe(Math.ceil(height / after));
        for (let index = 0; index < stripCount(cut); index++) {
          const { shape, data } = strip(cut, index);
          const row = index * after;
          expect(shape).toEqual([1, channels, Math.min(after, height - row), width]);
          const expected = Array.from({ length: channels }, (_, channel) => [
            ...values.subarray((channel * height + row) * width, (channel * height + row + shape[2]) * width),
          ]);
          expect([...data]).toEqual(expected.flat());
        }
        expect(pool.recut(cut, height).data).toEqual(values);
      }),
    );
  });

  it('have the rows of their neighbours, or zeros', () => {
    const pool = new PlanePool();
    const plane = pool.take(2, 5, 1, 2);
    plane.data.set([0, 1, 10, 11, 2, 3, 12, 13, 4, 14]);
    const edge = (index: number, which: 'first' | 'last'): number[] => {
      const into = Float32Array.of(7, 7);
      copyEdge(plane, index, which, into);
      return [...into];
    };
    expect([edge(-1, 'last'), edge(0, 'last'), edge(1, 'first'), edge(2, 'first'), edge(3, 'first')]).toEqual(
      [
        [0, 0],
        [1, 11],
        [2, 12],
        [4, 14],
        [0, 0],
      ],
    );
  });

  it('share memory only after it was handed back', () => {
    const pool = new PlanePool();
    const first = pool.take(1, 4, 4, 4);
    const second = pool.take(1, 4, 4, 4);
    expect(second.data.buffer).not.toBe(first.data.buffer);
    pool.give(first);
    expect(pool.take(1, 2, 4, 4).data.buffer).toBe(first.data.buffer);
  });
});

describe('normalization', () => {
  /** Two channels in one group. */
  function measure(values: readonly number[]): Measure {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { count: values.length, means: Float32Array.of(mean), squares: Float32Array.of(squares) };
  }

  it('of strips is that of the whole, also far from zero', () => {
    const numbers = fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(numbers, { minLength: 1, maxLength: 4 }), (strips) => {
        const far = strips.map((values) => values.map((value) => value + 65536));
        const plane = { channels: 2, height: 1, width: 1, rows: 1, data: new Float32Array(2) };
        const norm = { weight: Float32Array.of(1, -2), bias: Float32Array.of(0, 3) };
        const affine = normalization({ ...plane, measures: far.map(measure) }, norm);
        const all = far.flat();
        const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
        const variance = all.reduce((sum, value) => sum + (value - mean) ** 2, 0) / all.length;
        const inverse = 1 / Math.sqrt(variance + 1e-6);
        // Means are float32: near 65536 they are known to 1/256.
        expect(Math.abs(affine.scale[0] / inverse - 1)).toBeLessThan(0.02);
        expect(affine.scale[1]).toBe(-2 * affine.scale[0]);
      }),
    );
  });
});
