import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { float32 } from '../tensor/tensor.ts';
import { labelAccuracy } from './logit-scores.ts';

describe('label accuracy', () => {
  const logits = float32([5, 3], [9, 1, 1, 0, 2, 1, 0, 3, 1, 5, 4, 4, -1, -2, -3]); // 0, 1, 1, 0, 0

  it('is the share of samples that show what they should, in all and by label', () => {
    expect(labelAccuracy(logits, [0, 1, 0, 0, 1])).toEqual({
      accuracy: 0.6,
      byLabel: [2 / 3, 0.5, undefined],
    });
  });

  it('needs a label of its classes for each sample', () => {
    expect(() => labelAccuracy(logits, [0, 1])).toThrow(ArgumentError);
    expect(() => labelAccuracy(logits, [0, 1])).toThrow('2 labels for 5 samples');
    expect(() => labelAccuracy(logits, [0, 1, 0, 3, 1])).toThrow('label 3 of sample 3 is none of 3 classes');
  });
});
