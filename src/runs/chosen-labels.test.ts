import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paperConfig } from '../models/acdit/config.ts';
import { chooseLabels, defaultLabels, manyLabels } from './chosen-labels.ts';

const config = { ...paperConfig('B', 'image'), classes: 4, blocks: 2 };

describe('defaultLabels', () => {
  it('is every class of a small model, and the official choice of the released ones', () => {
    expect(defaultLabels(config)).toEqual([0, 1, 2, 3]);
    expect(defaultLabels(paperConfig('XL', 'image'))[0]).toBe(207);
    expect(defaultLabels(paperConfig('XL', 'video'))[0]).toBe(27);
    expect(defaultLabels({ ...config, classes: 50 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('chooseLabels', () => {
  it('divides a count as evenly as can be, in the order of the labels', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60 }), (distinct, count) => {
        const labels = Array.from({ length: distinct }, (_, i) => i);
        const repeated = chooseLabels(config, { labels, count }, 2).labels;
        const times = labels.map((label) => repeated.filter((other) => other === label).length);
        expect(repeated).toHaveLength(count);
        expect(repeated).toEqual([...repeated].sort((a, b) => Number(a) - Number(b)));
        expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(1);
      }),
    );
    expect(chooseLabels(config, { labels: [3, [1, 2]], perClass: 2 }, 2).labels).toEqual([
      3,
      3,
      [1, 2],
      [1, 2],
    ]);
  });
});

describe('manyLabels', () => {
  it('takes all classes in turn, or draws the first of a longer list', () => {
    expect(manyLabels(config, { perClass: 2 }, 42).labels).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
    const few = manyLabels(config, { labels: [1, 3], count: 5 }, 42);
    expect(few).toMatchObject({ order: 'random', classes: [1, 3] });
    expect(manyLabels(config, { labels: [1, 3], count: 9 }, 42).labels.slice(0, 5)).toEqual(few.labels);
    expect(() => manyLabels(config, {}, 42)).toThrow('npz needs');
    expect(() => manyLabels(config, { labels: [[1, 2]], count: 1 }, 42)).toThrow(
      'stores one label per image',
    );
    expect(() => manyLabels(config, { perClass: 1e7 }, 42)).toThrow('perClass must be');
  });
});
