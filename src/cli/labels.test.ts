import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { paperConfig } from '../models/acdit/paper-models.ts';
import { defaultLabels, labelName, parseLabels, repeatLabels } from './labels.ts';

const config = {
  ...paperConfig('B', 'image'),
  classes: 4,
  classNames: ['T-shirt/top', 'Ankle boot', '7', '+'],
  blocks: 2,
};

describe('parseLabels', () => {
  it('takes numbers and names, whatever their case and punctuation', () => {
    expect(parseLabels(config, '3, 0,tshirt-TOP,ankleboot,+,none')).toEqual([3, 0, 0, 1, 3, 4]);
  });

  it('prefers a name with a slash to labels by block', () => {
    expect(parseLabels(config, 't-shirt/top,1/ankle boot,none/0')).toEqual([0, [1, 1], [4, 0]]);
  });

  it('refuses what is no class', () => {
    expect(() => parseLabels(config, '4')).toThrow('label 4 is outside 0 to 3');
    expect(() => parseLabels(config, 'ankle boat')).toThrow("did you mean 'Ankle boot'?");
    expect(() => parseLabels(config, '0/1/2')).toThrow('has 3 values');
    expect(() => parseLabels(config, '0/x')).toThrow("unknown class 'x'");
  });
});

describe('defaultLabels', () => {
  it('is every class of a small model, and the official choice of the released ones', () => {
    expect(defaultLabels(config)).toEqual([0, 1, 2, 3]);
    expect(defaultLabels(paperConfig('XL', 'image'))[0]).toBe(207);
    expect(defaultLabels(paperConfig('XL', 'video'))[0]).toBe(27);
    expect(defaultLabels({ ...config, classes: 50 })).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('labelName', () => {
  it('names classes, none, and labels by block', () => {
    expect(labelName(config, 1)).toBe('Ankle boot');
    expect(labelName(config, [4, 0])).toBe('none / T-shirt/top');
    expect(labelName(paperConfig('B', 'image'), 207)).toBe('class 207');
  });
});

describe('repeatLabels', () => {
  it('divides a count as evenly as can be, in the order of the labels', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60 }), (distinct, count) => {
        const labels = Array.from({ length: distinct }, (_, i) => i);
        const repeated = repeatLabels(labels, 1, count);
        const times = labels.map((label) => repeated.filter((other) => other === label).length);
        expect(repeated).toHaveLength(count);
        expect(repeated).toEqual([...repeated].sort((a, b) => Number(a) - Number(b)));
        expect(Math.max(...times) - Math.min(...times)).toBeLessThanOrEqual(1);
      }),
    );
    expect(repeatLabels([5, [1, 2]], 2, undefined)).toEqual([5, 5, [1, 2], [1, 2]]);
  });
});
