/**
 * @file The Fréchet distance of two Gaussians, |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2). On the features of the
 * FID network it is the FID (Heusel et al. 2017); on any others it is not, and must not be called so. Its hard part is the
 * trace of the root, which is computed in three ways.
 *
 * Up to some hundred dimensions: eigenvalues of S1^(1/2) S2 S1^(1/2), which are those of S1 S2, with negative ones, which
 * are rounding errors of zeros, taken for zero.
 *
 * Eigenvalues of 2048 dimensions take minutes, so beyond that there are factors: with S1 = L1 L1ᵀ and S2 = L2 L2ᵀ the trace
 * is the sum of the singular values of M = L1ᵀ L2. The covariance of few samples has few columns in its factor, so if one
 * of the sets is small then so is M, and its singular values are computed.
 *
 * Otherwise there is a way of nothing but matrix products. If M = U H is the polar decomposition, then the sum is tr H,
 * the inner product of U and M. And U is where the Newton-Schulz iteration X -> 3/2 X - 1/2 X Xᵀ X leads from M: it brings
 * all singular values to 1 and leaves the vectors. Those that are zero stay so, and count for nothing in the sum.
 */

import { setImmediate } from 'node:timers/promises';
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from 'ml-matrix';
import { at, float64At, take } from '../at.ts';
import { ShapeError } from '../errors.ts';
import type { Shape } from '../graph/symbolic.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { Device, Program } from '../runtime/device.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { Gaussian } from './gaussian.ts';
import { input64, matrix64, product64, type WorkOptions } from './products.ts';

/** Differences of means and covariances below this share of the variances are due to the order of summation. */
const SUMMATION_ERROR = 1e-12;

/**
 * Squared Fréchet distance of two Gaussians, whose covariances may be singular. It is exactly 0 if they are equal, and
 * never negative.
 * @throws {ShapeError} if they have different dimensions.
 */
export async function frechetDistance(
  device: Device,
  a: Gaussian,
  b: Gaussian,
  options: WorkOptions = {},
): Promise<number> {
  const dims = a.mean.length;
  if (b.mean.length !== dims) {
    throw new ShapeError(`frechetDistance: ${dims} dimensions do not fit ${b.mean.length}`);
  }
  let [means, variances] = [0, 0];
  for (let d = 0; d < dims; d++) {
    means += (float64At(a.mean, d) - float64At(b.mean, d)) ** 2;
    variances += float64At(a.covariance, d * dims + d) + float64At(b.covariance, d * dims + d);
  }
  // The trace of a root has an error of half the digits where the covariance is singular. The distance of covariances is
  // at most the nuclear norm of their difference (Powers and Størmer 1970), and this at most sqrt(D) times its norm.
  const squares = a.covariance.reduce((sum, value, i) => sum + (value - float64At(b.covariance, i)) ** 2, 0);
  const most = means + Math.sqrt(dims) * Math.sqrt(squares);
  if (most <= SUMMATION_ERROR * variances) return 0;
  const trace = await traceOfProductRoot(device, a.covariance, b.covariance, dims, options);
  return Math.min(Math.max(means + variances - 2 * trace, 0), most);
}

/** Up to here eigenvalues and singular values take seconds. */
const FEW_DIMS = 512;

/** Trace of the square root of the product of two covariances (D, D), which may be singular. */
async function traceOfProductRoot(
  device: Device,
  a: Float64Array,
  b: Float64Array,
  dims: number,
  options: WorkOptions = {},
): Promise<number> {
  if (dims <= FEW_DIMS) return traceByEigenvalues(a, b, dims);
  const product = await productOfFactors(device, choleskyFactor(a, dims), choleskyFactor(b, dims));
  return Math.min(...product.shape) <= FEW_DIMS
    ? nuclearNormBySingularValues(product)
    : nuclearNormByPolar(device, product, options);
}

/** See {@link traceOfProductRoot}; for few dimensions. */
export function traceByEigenvalues(a: Float64Array, b: Float64Array, dims: number): number {
  const root = symmetricRoot(Matrix.from1DArray(dims, dims, a));
  const product = root.mmul(Matrix.from1DArray(dims, dims, b)).mmul(root);
  const { realEigenvalues } = new EigenvalueDecomposition(product, { assumeSymmetric: true });
  return realEigenvalues.reduce((sum, value) => sum + Math.sqrt(Math.max(value, 0)), 0);
}

function symmetricRoot(matrix: Matrix): Matrix {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, {
    assumeSymmetric: true,
  });
  const roots = realEigenvalues.map((value) => Math.sqrt(Math.max(value, 0)));
  return eigenvectorMatrix.clone().mulRowVector(roots).mmul(eigenvectorMatrix.transpose());
}

/**
 * Steps that begin with a factor of {@link GROWTH}. Each makes small singular values 2.55 times as large, and keeps
 * those from 0.09 to 1 there: 1e-10 of the largest takes 26.
 */
const GROWING_STEPS = 26;
/** Below the square root of 3, at which a value of 1 would become 0. */
const GROWTH = 1.7;
/** From 0.09 to 1, up to rounding: the error is squared at every step once it is below a half. */
const CLOSING_STEPS = 12;

/** Sum of the singular values of a matrix with few rows or columns. */
export function nuclearNormBySingularValues({ shape, data }: Tensor<'float64'>): number {
  if (data.length === 0) return 0;
  const [rows, columns] = take(shape, 2);
  const { diagonal } = new SingularValueDecomposition(Matrix.from1DArray(rows, columns, data), {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  });
  return diagonal.reduce((sum, value) => sum + value, 0);
}

/** Sum of the singular values of a matrix. */
export async function nuclearNormByPolar(
  device: Device,
  { shape, data }: Tensor<'float64'>,
  { signal, onProgress }: WorkOptions = {},
): Promise<number> {
  const norm = Math.sqrt(innerProduct(data, data));
  if (norm === 0) return 0;
  const [rows, columns] = take(shape, 2);
  const programs = [await compileStep(device, shape, GROWTH), await compileStep(device, shape, 1)] as const;
  try {
    const scaled = data.map((value) => value / norm);
    let x = matrix64(rows, columns, scaled);
    let next = matrix64(rows, columns, new Float64Array(data.length));
    const steps = GROWING_STEPS + CLOSING_STEPS;
    for (let step = 0; step < steps; step++) {
      await setImmediate(); // let signals and progress through
      signal?.throwIfAborted();
      await programs[step < GROWING_STEPS ? 0 : 1].run({ x }, { next });
      [x, next] = [next, x];
      onProgress?.((step + 1) / steps);
    }
    return innerProduct(x.data, data);
  } finally {
    for (const program of programs) await program.dispose();
  }
}

/** y = growth x; y -> 3/2 y - 1/2 y yᵀ y. */
function compileStep(device: Device, shape: Shape, growth: number): Promise<Program> {
  const x = input64('x', shape);
  const [rows = 0, columns = 0] = shape.map(Number);
  const squares = product64(
    rows < columns ? { a: x, b: x, transposeB: true } : { a: x, b: x, transposeA: true },
  );
  const [a, b] = rows < columns ? [squares, x] : [x, squares];
  const next = product64({ a, b, alpha: -0.5 * growth ** 3, onto: x, beta: 1.5 * growth });
  return device.compile({ inputs: [x], outputs: { next } });
}

/** aᵀ b of factors (D, R) and (D, R'). */
export async function productOfFactors(
  device: Device,
  a: Tensor<'float64'>,
  b: Tensor<'float64'>,
): Promise<Tensor<'float64'>> {
  const [rows, columns] = [at(a.shape, 1), at(b.shape, 1)];
  const into = { product: matrix64(rows, columns, new Float64Array(rows * columns)) };
  if (rows * columns === 0) return into.product;
  const [x, y] = [input64('a', a.shape), input64('b', b.shape)];
  const product = product64({ a: x, b: y, transposeA: true });
  return closingAfter(await device.compile({ inputs: [x, y], outputs: { product } }), async (program) => {
    await program.run({ a, b }, into);
    return into.product;
  });
}

/**
 * L (D, R) with L Lᵀ = `matrix` (D, D) of rank R: lower triangular, but without the columns of those dimensions of which
 * only rounding errors are left, given those before them.
 */
export function choleskyFactor(matrix: Float64Array, dims: number): Tensor<'float64'> {
  const factor = new Float64Array(dims * dims);
  /** The dimensions that have a column. */
  const pivots: number[] = [];
  for (let i = 0; i < dims; i++) {
    const row = i * dims;
    for (const [column, pivot] of pivots.entries()) {
      const other = pivot * dims;
      let rest = float64At(matrix, row + pivot);
      for (let k = 0; k < column; k++) rest -= float64At(factor, row + k) * float64At(factor, other + k);
      factor[row + column] = rest / float64At(factor, other + column);
    }
    const variance = float64At(matrix, row + i);
    let rest = variance;
    for (let k = 0; k < pivots.length; k++) rest -= float64At(factor, row + k) ** 2;
    if (rest > dims * Number.EPSILON * variance) {
      factor[row + pivots.length] = Math.sqrt(rest);
      pivots.push(i);
    }
  }
  const rank = pivots.length;
  const out = new Float64Array(dims * rank);
  for (let i = 0; i < dims; i++) out.set(factor.subarray(i * dims, i * dims + rank), i * rank);
  return tensor('float64', [dims, rank], out);
}

function innerProduct(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * float64At(b, i), 0);
}
