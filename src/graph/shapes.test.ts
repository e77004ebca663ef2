import { describe, expect, it } from 'vitest';
import { addDims, countElements, divideDim, productDim } from './shapes.ts';

describe('dims that are known only when a program runs', () => {
  it.each([
    ['cached', 256, 'cached+256'],
    [256, 'cached', 'cached+256'],
    ['rows+2', -2, 'rows'],
    ['2*rows+1', 'rows+3', '3*rows+4'],
    ['b', 'a', 'a+b'],
    ['16*(rows+2)', 'rows', '16*(rows+2)+rows'],
    ['rows', 0, 'rows'],
    [2, 3, 5],
  ])('%s + %s = %s', (a, b, sum) => {
    expect(addDims(a, b)).toBe(sum);
  });

  it.each([
    ['2*rows+1', 2, 'rows'],
    ['4*rows+-2', 2, '2*rows+-1'],
    ['rows', 1, 'rows'],
    ['rows', 2, undefined],
    ['6*a+3*b+7', 3, '2*a+b+2'],
    [7, 2, 3],
  ])('%s / %s = %s', (dim, divisor, quotient) => {
    expect(divideDim(dim, divisor)).toBe(quotient);
  });

  it('multiplies sums as one factor, in any order', () => {
    expect(productDim([16, 'rows+2', 'columns'])).toBe('16*(rows+2)*columns');
    expect(countElements([4, '2*rows+2'])).toEqual(countElements(['2*rows+2', 4]));
    expect(countElements([4, 'rows+1'])).not.toEqual(countElements(['4*rows+1']));
    expect(countElements([productDim([2, 'a+b']), 3])).toEqual({ known: 6, unknown: '(a+b)' });
  });
});
