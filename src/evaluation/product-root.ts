/**
 * @file tr (S1 S2)^(1/2) of two covariances, the hard part of a Fréchet distance, in two ways.
 *
 * Up to some hundred dimensions: eigenvalues of S1^(1/2) S2 S1^(1/2), which are those of S1 S2, with negative ones, which
 * are rounding errors of zeros, taken for zero.
 *
 * Eigenvalues of 2048 dimensions take minutes, so beyond that there is another way, of nothing but matrix products. With
 * S1 = L1 L1ᵀ and S2 = L2 L2ᵀ the trace is the sum of the singular values of M = L1ᵀ L2. If M = U H is the polar
 * decomposition, then that sum is tr H, the inner product of U and M. And U is where the Newton-Schulz iteration
 * X -> 3/2 X - 1/2 X Xᵀ X leads from M: it brings all singular values to 1 and leaves the vectors. Those that are zero
 * stay so, and count for nothing in the sum.
 */

import { setImmediate } from 'node:timers/promises';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import type { Device, Program } from '../runtime/device.ts';
import { input64, matrix64, product64, type WorkOptions } from './products.ts';

/** Up to here eigenvalues take seconds. */
const FEW_DIMS = 512;

/** Trace of the square root of the product of two covariances (D, D), which may be singular. */
export async function traceOfProductRoot(
  device: Device,
  a: Float64Array,
  b: Float64Array,
  dims: number,
  options: WorkOptions = {},
): Promise<number> {
  return dims <= FEW_DIMS ? traceByEigenvalues(a, b, dims) : traceByPolar(device, a, b, dims, options);
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

/** See {@link traceOfProductRoot}; for any number of dimensions. */
export async function traceByPolar(
  device: Device,
  a: Float64Array,
  b: Float64Array,
  dims: number,
  { signal, onProgress }: WorkOptions = {},
): Promise<number> {
  const product = await productOfFactors(device, choleskyFactor(a, dims), choleskyFactor(b, dims), dims);
  const norm = Math.sqrt(innerProduct(product, product));
  if (norm === 0) return 0;
  const programs = [await compileStep(device, dims, GROWTH), await compileStep(device, dims, 1)];
  try {
    let x = matrix64(
      dims,
      dims,
      product.map((value) => value / norm),
    );
    let next = matrix64(dims, dims, new Float64Array(dims * dims));
    const steps = GROWING_STEPS + CLOSING_STEPS;
    for (let step = 0; step < steps; step++) {
      await setImmediate(); // let signals and progress through
      signal?.throwIfAborted();
      await programs[step < GROWING_STEPS ? 0 : 1].run({ x }, { next });
      [x, next] = [next, x];
      onProgress?.((step + 1) / steps);
    }
    return innerProduct(x.data, product);
  } finally {
    for (const program of programs) await program.dispose();
  }
}

/** y = growth x; y -> 3/2 y - 1/2 y yᵀ y. */
function compileStep(device: Device, dims: number, growth: number): Promise<Program> {
  const x = input64('x', [dims, dims]);
  const squares = product64({ a: x, b: x, transposeB: true });
  const next = product64({ a: squares, b: x, alpha: -0.5 * growth ** 3, onto: x, beta: 1.5 * growth });
  return device.compile({ inputs: [x], outputs: { next } });
}

/** aᵀ b of square matrices. */
async function productOfFactors(
  device: Device,
  a: Float64Array,
  b: Float64Array,
  dims: number,
): Promise<Float64Array> {
  const inputs = [input64('a', [dims, dims]), input64('b', [dims, dims])];
  const product = product64({ a: inputs[0], b: inputs[1], transposeA: true });
  const program = await device.compile({ inputs, outputs: { product } });
  try {
    const into = { product: matrix64(dims, dims, new Float64Array(dims * dims)) };
    await program.run({ a: matrix64(dims, dims, a), b: matrix64(dims, dims, b) }, into);
    return into.product.data;
  } finally {
    await program.dispose();
  }
}

/**
 * Lower triangular L with L Lᵀ = `matrix` (D, D), which may be singular: where only rounding errors are left of a
 * dimension, given those before it, its column is zero.
 */
export function choleskyFactor(matrix: Float64Array, dims: number): Float64Array {
  const factor = new Float64Array(dims * dims);
  for (let i = 0; i < dims; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = matrix[i * dims + j];
      for (let k = 0; k < j; k++) rest -= factor[i * dims + k] * factor[j * dims + k];
      if (j < i) {
        const pivot = factor[j * dims + j];
        factor[i * dims + j] = pivot === 0 ? 0 : rest / pivot;
      } else if (rest > dims * Number.EPSILON * matrix[i * dims + i]) factor[i * dims + i] = Math.sqrt(rest);
    }
  }
  return factor;
}

function innerProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}
