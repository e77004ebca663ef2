/** @file Every operator of the graph language. */

export { gelu, logSoftmax, relu, silu, softmax } from './activation.ts';
export { attention } from './attention.ts';
export { constantZeros, expand, reduceSum, reshape, sumTo } from './broadcasting.ts';
export { convolution, upsampleNearest } from './convolution.ts';
export {
  add,
  cosine,
  divide,
  exponential,
  multiply,
  negate,
  scale,
  shift,
  sigmoid,
  sine,
  square,
  squareRoot,
  subtract,
  tanh,
} from './elementwise.ts';
export { concat, type Pieces, slice, split, transpose } from './layout.ts';
export { linear, linearOnto, matmul, matmulTransposed, transposedMatmul } from './linear-algebra.ts';
export { gatherRows } from './lookup.ts';
export { reduceMean, rmsNorm, sumOfSquares } from './normalization.ts';
export { type AveragePoolOptions, averagePool, maxPool } from './pooling.ts';
export type { WindowOptions } from './windows.ts';
