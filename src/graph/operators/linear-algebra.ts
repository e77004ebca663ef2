/** @file Matrix products, in the form the CPU kernels like and with PyTorch's weight layout. */

import { at, take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { broadcast, productDim, sameShape } from '../shapes.ts';
import { applyOne, type Dim, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';
import { reshape, sumTo } from './broadcasting.ts';
import { transpose } from './layout.ts';

/**
 * Shape of the product of the last two axes, those of either side swapped if asked for; batch dims broadcast.
 * @throws {ShapeError} if they do not fit.
 */
function productShape(
  operator: string,
  a: SymbolicTensor,
  b: SymbolicTensor,
  transA = false,
  transB = false,
): Shape {
  const lastTwo = ({ shape }: SymbolicTensor, swap: boolean): readonly (Dim | undefined)[] =>
    swap ? [shape.at(-1), shape.at(-2)] : [shape.at(-2), shape.at(-1)];
  const [[rows, innerA], [innerB, columns]] = [lastTwo(a, transA), lastTwo(b, transB)];
  if (rows === undefined || columns === undefined || innerA === undefined || innerA !== innerB) {
    const show = ({ shape }: SymbolicTensor, swapped: boolean): string =>
      `${showShape(shape)}${swapped ? ' transposed' : ''}`;
    throw new ShapeError(`${operator}: shapes ${show(a, transA)} and ${show(b, transB)} do not fit`);
  }
  return [...broadcast(operator, a.shape.slice(0, -2), b.shape.slice(0, -2)), rows, columns];
}

/** Batched matrix product (..., M, K) x (..., K, N), batch dims broadcast. */
export function matmul(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  return applyOne({
    operator: 'MatMul',
    inputs: [a, b],
    shape: productShape('MatMul', a, b),
    gradient: (g) => [sumTo(matmulTransposed(g, b), a.shape), sumTo(transposedMatmul(a, g), b.shape)],
  });
}

/** a x b with the last two axes of `b` swapped: (..., M, K) x (..., N, K) -> (..., M, N), times `alpha`. */
export function matmulTransposed(a: SymbolicTensor, b: SymbolicTensor, alpha = 1): SymbolicTensor {
  return fusedMatmul(a, b, false, true, alpha);
}

/** a x b with the last two axes of `a` swapped: (..., K, M) x (..., K, N) -> (..., M, N). */
export function transposedMatmul(a: SymbolicTensor, b: SymbolicTensor, alpha = 1): SymbolicTensor {
  return fusedMatmul(a, b, true, false, alpha);
}

function fusedMatmul(
  a: SymbolicTensor,
  b: SymbolicTensor,
  transA: boolean,
  transB: boolean,
  alpha: number,
): SymbolicTensor {
  return applyOne({
    operator: 'FusedMatMul',
    domain: 'com.microsoft',
    inputs: [a, b],
    attributes: { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } },
    shape: productShape('FusedMatMul', a, b, transA, transB),
    gradient: (g) => {
      const gradientA = transA
        ? fusedMatmul(b, g, transB, true, alpha)
        : fusedMatmul(g, b, false, !transB, alpha);
      const gradientB = transB
        ? fusedMatmul(g, a, true, transA, alpha)
        : fusedMatmul(a, g, !transA, false, alpha);
      return [sumTo(gradientA, a.shape), sumTo(gradientB, b.shape)];
    },
  });
}

/** One Gemm: 2-D product with either side transposed, onto an optional bias row or matrix. */
function gemm(
  a: SymbolicTensor,
  b: SymbolicTensor,
  transA: boolean,
  transB: boolean,
  bias?: SymbolicTensor,
): SymbolicTensor {
  const gradientOfRight = (g: SymbolicTensor): SymbolicTensor => {
    if (!transB) return gemm(a, g, !transA, false);
    return transA ? gemm(g, a, true, true) : leftTransposedProduct(g, a);
  };
  return applyOne({
    operator: 'Gemm',
    inputs: bias ? [a, b, bias] : [a, b],
    attributes: { transA: Number(transA), transB: Number(transB) },
    shape: productShape('Gemm', a, b, transA, transB),
    gradient: (g) => [
      transA ? gemm(b, g, transB, true) : gemm(g, b, false, !transB),
      gradientOfRight(g),
      bias && sumTo(g, bias.shape),
    ],
  });
}

/** Rows of a left side from which on transposing it costs less than reading it transposed. */
const MANY_ROWS = 64;

/**
 * a^T x b of (K, M) and (K, N). The matrix kernels read a transposed left side a tenth to a fifth slower than a plain
 * one, which is more than it costs to transpose the smaller of the two beforehand: b^T x a is the result transposed.
 */
function leftTransposedProduct(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  const [inner, rows] = take(a.shape, 2);
  if (Number(inner) < MANY_ROWS) return gemm(a, b, true, false);
  return rows <= at(b.shape, 1)
    ? gemm(transpose(a, [1, 0]), b, false, false)
    : transpose(gemm(transpose(b, [1, 0]), a, false, false), [1, 0]);
}

/**
 * x Wᵀ + b on the last axis: (..., K) with PyTorch's weight (N, K) -> (..., N).
 * The leading axes are flattened to rows, which costs nothing.
 */
export function linear(x: SymbolicTensor, weight: SymbolicTensor, bias?: SymbolicTensor): SymbolicTensor {
  const inner = x.shape.at(-1);
  const [outputs, inputs] = weight.shape;
  const biasFits = !bias || sameShape(bias.shape, weight.shape.slice(0, 1));
  const isMatrix = weight.shape.length === 2;
  if (inner === undefined || outputs === undefined || !isMatrix || inputs !== inner || !biasFits) {
    throw new ShapeError(
      `linear: input ${showShape(x.shape)} does not fit weight ${showShape(weight.shape)} and bias ${bias ? showShape(bias.shape) : '(none)'}`,
    );
  }
  const leading = x.shape.slice(0, -1);
  if (leading.length === 1) return gemm(x, weight, false, true, bias);
  return reshape(gemm(reshape(x, [productDim(leading), inner]), weight, false, true, bias), [
    ...leading,
    outputs,
  ]);
}

/** sum + x Wᵀ: one more term of a product whose inner axis is taken in pieces. (..., N), (..., K), (N, K) -> (..., N). */
export function linearOnto(sum: SymbolicTensor, x: SymbolicTensor, weight: SymbolicTensor): SymbolicTensor {
  const [outputs, inner] = weight.shape;
  const leading = x.shape.slice(0, -1);
  if (
    outputs === undefined ||
    inner === undefined ||
    weight.shape.length !== 2 ||
    !sameShape(x.shape, [...leading, inner]) ||
    !sameShape(sum.shape, [...leading, outputs])
  ) {
    throw new ShapeError(
      `linearOnto: ${showShape(x.shape)} times weight ${showShape(weight.shape)} does not fit onto ${showShape(sum.shape)}`,
    );
  }
  const rows = productDim(leading);
  const product = gemm(reshape(x, [rows, inner]), weight, false, true, reshape(sum, [rows, outputs]));
  return reshape(product, sum.shape);
}
