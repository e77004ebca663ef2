import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../errors.ts';
import { float32, tensor } from '../../tensor/tensor.ts';
import { constant, input, type SymbolicTensor } from '../symbolic.ts';
import * as operators from './index.ts';

const of = (...shape: (number | string)[]): SymbolicTensor => input('x', shape);
const whole = input('i', [3], 'int64');
const {
  add,
  attention,
  averagePool,
  concat,
  convolution,
  divide,
  expand,
  gatherRows,
  linear,
  linearOnto,
  matmul,
  maxPool,
  matmulTransposed,
} = operators;
const { multiply, reduceMean, reduceSum, reshape, rmsNorm, slice, split, subtract, sumTo } = operators;
const { tanh, transpose, transposedMatmul, upsampleNearest } = operators;

/** Name in the message, what is tried, and what the message must show: shapes, axes or sizes. */
const misfits: [operator: string, build: () => unknown, shown: string[]][] = [
  ['Add', () => add(of(2, 3), of(4)), ['[2, 3]', '[4]']],
  ['Sub', () => subtract(of(2), of(3)), ['[2]', '[3]']],
  ['Mul', () => multiply(of('n', 2), of('m', 2)), ['[n, 2]', '[m, 2]']],
  ['Div', () => divide(of(2, 2), of(3, 2)), ['[2, 2]', '[3, 2]']],
  ['Add', () => add(of(3), whole), ['int64', '[3]']],
  ['Tanh', () => tanh(whole), ['int64', '[3]']],
  ['MatMul', () => matmul(of(2, 3), of(2, 3)), ['[2, 3]', '[2, 3]']],
  ['MatMul', () => matmul(of(3), of(3, 2)), ['[3]', '[3, 2]']],
  ['MatMul', () => matmul(of(2, 4, 3), of(3, 3, 5)), ['[2]', '[3]']],
  ['FusedMatMul', () => matmulTransposed(of(2, 3), of(3, 2)), ['[2, 3]', '[3, 2]']],
  ['FusedMatMul', () => matmulTransposed(of(3), of(3)), ['[3]']],
  ['FusedMatMul', () => transposedMatmul(of(2, 3), of(3, 2)), ['[2, 3]', '[3, 2]']],
  ['linear', () => linear(of(2, 3), of(4, 2)), ['[2, 3]', '[4, 2]']],
  ['linear', () => linear(of(2, 3), of(4, 3, 1)), ['[2, 3]', '[4, 3, 1]']],
  ['linear', () => linear(of(2, 3), of(4, 3), of(3)), ['[4, 3]', '[3]']],
  ['linear', () => linear(of(2, 3), of(4, 3), of(4, 1)), ['[4, 3]', '[4, 1]']],
  ['linear', () => linear(of(), of(4, 3)), ['[]', '[4, 3]']],
  ['linearOnto', () => linearOnto(of(2, 4), of(2, 3), of(4, 2)), ['[2, 3]', '[4, 2]', '[2, 4]']],
  ['linearOnto', () => linearOnto(of(2, 3), of(2, 3), of(4, 3)), ['[2, 3]', '[4, 3]']],
  ['linearOnto', () => linearOnto(of(4), of(2, 3), of(4, 3)), ['[2, 3]', '[4]']],
  ['attention', () => attention(of(2, 3, 4), of(1, 5, 4), of(1, 5, 4)), ['[2, 3, 4]', '[1, 5, 4]']],
  ['attention', () => attention(of(3, 4), of(5, 4), of(6, 4)), ['[3, 5]', '[6, 4]']],
  ['FusedMatMul', () => attention(of(3, 4), of(5, 2), of(5, 4)), ['[3, 4]', '[5, 2]']],
  ['Add', () => attention(of(3, 4), of(5, 4), of(5, 4), of(3, 4)), ['[3, 5]', '[3, 4]']],
  ['Reshape', () => reshape(of(2, 3), [5]), ['[2, 3]', '[5]']],
  ['Reshape', () => reshape(of('n', 4), ['m', 4]), ['[n, 4]', '[m, 4]']],
  ['Reshape', () => reshape(of('n', 'm', 4), [4, 'n', 'm']), ['[n, m, 4]', '[4, n, m]']],
  ['Expand', () => expand(of(2, 3), [4, 3]), ['[2, 3]', '[4, 3]']],
  ['Expand', () => expand(of(2, 3), [3]), ['[2, 3]', '[3]']],
  ['Expand', () => expand(of(1), ['n']), ['[1]', '[n]']],
  ['ReduceSum', () => reduceSum(of(2, 3), [2]), ['2', '[2, 3]']],
  ['ReduceSum', () => reduceSum(of(2, 3), [1, -1]), ['[1,-1]', '[2, 3]']],
  ['reduceMean', () => reduceMean(of(2, 3), [-3]), ['-3', '[2, 3]']],
  ['reduceMean', () => reduceMean(of(2, 'n'), [1]), ['[1]', '[2, n]']],
  ['sumTo', () => sumTo(of(2, 3), [4]), ['[2, 3]', '[4]']],
  ['sumTo', () => sumTo(of(3), [2, 3]), ['[3]', '[2, 3]']],
  ['sumTo', () => sumTo(of(1, 3), [2, 3]), ['[1, 3]', '[2, 3]']],
  ['Transpose', () => transpose(of(2, 3), [0, 0]), ['[0,0]', '[2, 3]']],
  ['Transpose', () => transpose(of(2, 3), [0]), ['[0]', '[2, 3]']],
  ['Concat', () => concat([of(2, 3), of(2, 4)], 0), ['[2, 3]', '[2, 4]']],
  ['Concat', () => concat([of(2, 3), of(2)], 0), ['[2, 3]', '[2]']],
  ['Concat', () => concat([of(2, 3), of(2, 3)], 2), ['2', '[2, 3]']],
  ['Concat', () => concat([of(2, 3)], 2), ['2', '[2, 3]']],
  ['Concat', () => concat([of(3), whole], 0), ['float32', 'int64']],
  ['Concat', () => concat([], 0), ['no parts']],
  ['convolution', () => convolution(of(1, 2, 4, 4), of(3, 4, 3, 3)), ['[1, 2, 4, 4]', '[3, 4, 3, 3]']],
  ['convolution', () => convolution(of(2, 4, 4), of(3, 2, 3, 3)), ['[2, 4, 4]']],
  ['convolution', () => convolution(of(1, 2, 2, 4), of(3, 2, 3, 3)), ['[1, 2, 2, 4]', '[3, 2, 3, 3]']],
  ['convolution', () => convolution(of(1, 2, 4, 4), of(3, 2, 3, 3), of(2)), ['[2]']],
  [
    'convolution',
    () => convolution(of(1, 2, 'n', 4), of(3, 2, 1, 1), undefined, { stride: 2 }),
    ['[1, 2, n, 4]', 'stride 2'],
  ],
  ['convolution', () => convolution(of(1, 2), of(3, 2)), ['[1, 2]', '[3, 2]']],
  ['convolution', () => convolution(of(1, 2, 4), of(3, 2, 3), undefined, { padding: [1] }), ['padding [1]']],
  [
    'convolution',
    () => convolution(of(1, 2, 4, 4), of(3, 2, 1, 1), undefined, { stride: [1] }),
    ['stride [1]'],
  ],
  ['maxPool', () => maxPool(of(1, 2, 4), [2, 2]), ['[1, 2, 4]', '[2,2]']],
  [
    'maxPool',
    () => maxPool(of(1, 2, 4), [2], { padding: [2, 0] }),
    ['[2]', 'padding [2,0]', 'hold an element'],
  ],
  ['maxPool', () => maxPool(of(1, 2, 2), [3]), ['[1, 2, 2]', '[3]']],
  ['averagePool', () => averagePool(of(1, 2, 'n'), [2], { stride: 2 }), ['[1, 2, n]', 'stride 2']],
  ['averagePool', () => averagePool(of(1, 2, 4), [0]), ['[0]']],
  ['upsampleNearest', () => upsampleNearest(of(2, 3), 2, 2), ['[2, 3]']],
  ['upsampleNearest', () => upsampleNearest(of(1, 1, 2, 3), 1.5, 2), ['1.5 x 2']],
  ['Split', () => split(of(2, 5), 1, [2, 2]), ['[2,2]', '[2, 5]']],
  ['Split', () => split(of(2, 5), 1, [4]), ['[4]', '[2, 5]']],
  ['Split', () => split(of(2, 'n'), 1, [2, 2]), ['[2,2]', '[2, n]']],
  ['Split', () => split(of(2, 5), 1, [6, -1]), ['[6,-1]', '[2, 5]']],
  ['Slice', () => slice(of(2, 5), 1, 3, 6), ['3..6', '[2, 5]']],
  ['Slice', () => slice(of(2, 5), 1, 3, 3), ['3..3', '[2, 5]']],
  ['Slice', () => slice(of(2, 5), 2, 0, 1), ['2', '[2, 5]']],
  ['Slice', () => slice(of(2, 'n'), 1, 0, 1), ['0..1', '[2, n]']],
  ['Gather', () => gatherRows(of(2, 3, 4), whole), ['[2, 3, 4]', '[3]']],
  ['Gather', () => gatherRows(of(2, 3), of(3)), ['[2, 3]', 'float32 [3]']],
  ['rmsNorm', () => rmsNorm(of(2, 3), 1e-6, of(2)), ['[2, 3]', '[2]']],
  ['rmsNorm', () => rmsNorm(of(2, 'n'), 1e-6), ['[2, n]']],
  ['rmsNorm', () => rmsNorm(of(), 1e-6), ['[]']],
  ['constant', () => constant(tensor('float64', [1], Float64Array.of(1))), ['float64']],
];

describe('misfitting shapes are reported when the graph is built', () => {
  it.each(misfits)('%s %#', (operator, build, shown) => {
    expect(build).toThrow(ShapeError);
    for (const part of [operator, ...shown]) expect(build).toThrow(part);
  });
});

describe('shapes', () => {
  it.each<[string, SymbolicTensor, (number | string)[]]>([
    ['broadcasting keeps names', add(of('n', 1, 3), of(2, 1)), ['n', 2, 3]],
    ['concatenation adds a name and a number', concat([of('cached', 4), of(256, 4)], 0), ['cached+256', 4]],
    ['linear flattens and restores named dims', linear(of('n', 2, 3), of(5, 3)), ['n', 2, 5]],
    ['rows are gathered by a named count', gatherRows(of(4, 3), input('i', ['n'], 'int64')), ['n', 3]],
    ['a product broadcasts its batch', matmul(of(2, 1, 3, 4), of(5, 4, 6)), [2, 5, 3, 6]],
    [
      'windows over a named axis',
      maxPool(of('n', 2, 'rows', 5), [3, 3], { padding: [1, 0, 1, 0] }),
      ['n', 2, 'rows', 3],
    ],
    ['of a scalar', operators.scale(constant(float32([], [1])), 2), []],
  ])('%s', (_, symbol, shape) => {
    expect(symbol.shape).toEqual(shape);
  });
});
