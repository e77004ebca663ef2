/** @file Element-by-element arithmetic with NumPy broadcasting, and its gradients. */

import { ShapeError } from '../../errors.ts';
import { broadcast } from '../shapes.ts';
import { applyOne, type Node, type SymbolicTensor, scalar, showShape } from '../symbolic.ts';
import { sumTo } from './broadcasting.ts';

function requireFloat(operator: string, ...symbols: SymbolicTensor[]): void {
  for (const { dtype, shape } of symbols) {
    if (dtype !== 'float32')
      throw new ShapeError(`${operator}: expected float32, got ${dtype} ${showShape(shape)}`);
  }
}

function binary(
  operator: string,
  a: SymbolicTensor,
  b: SymbolicTensor,
  gradient: (g: SymbolicTensor, out: SymbolicTensor) => [SymbolicTensor, SymbolicTensor],
): SymbolicTensor {
  requireFloat(operator, a, b);
  return applyOne({
    operator,
    inputs: [a, b],
    shape: broadcast(operator, a.shape, b.shape),
    gradient: (g, out) => {
      const [gradientA, gradientB] = gradient(g, out);
      return [sumTo(gradientA, a.shape), sumTo(gradientB, b.shape)];
    },
  });
}

/** An operator of one float32 tensor whose result has the same shape. */
export function unary(
  operator: string,
  x: SymbolicTensor,
  gradient: (g: SymbolicTensor, out: SymbolicTensor) => SymbolicTensor | undefined,
  attributes: Node['attributes'] = {},
): SymbolicTensor {
  requireFloat(operator, x);
  return applyOne({
    operator,
    inputs: [x],
    attributes,
    shape: x.shape,
    gradient: (g, out) => [gradient(g, out)],
  });
}

/** a + b, broadcast like NumPy. */
export function add(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  return binary('Add', a, b, (g) => [g, g]);
}

/** a - b, broadcast like NumPy. */
export function subtract(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  return binary('Sub', a, b, (g) => [g, negate(g)]);
}

/** a * b, broadcast like NumPy. */
export function multiply(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  return binary('Mul', a, b, (g) => [multiply(g, b), multiply(g, a)]);
}

/** a / b, broadcast like NumPy. */
export function divide(a: SymbolicTensor, b: SymbolicTensor): SymbolicTensor {
  return binary('Div', a, b, (g, out) => {
    const gradientA = divide(g, b);
    return [gradientA, negate(multiply(gradientA, out))];
  });
}

/** -x. */
export function negate(x: SymbolicTensor): SymbolicTensor {
  return unary('Neg', x, negate);
}

/** x * factor. */
export function scale(x: SymbolicTensor, factor: number): SymbolicTensor {
  return multiply(x, scalar(factor));
}

/** x + offset. */
export function shift(x: SymbolicTensor, offset: number): SymbolicTensor {
  return add(x, scalar(offset));
}

/** x * x. */
export function square(x: SymbolicTensor): SymbolicTensor {
  return multiply(x, x);
}

/** The square root of each element. */
export function squareRoot(x: SymbolicTensor): SymbolicTensor {
  return unary('Sqrt', x, (g, out) => divide(scale(g, 0.5), out));
}

/** e to the power of each element. */
export function exponential(x: SymbolicTensor): SymbolicTensor {
  return unary('Exp', x, (g, out) => multiply(g, out));
}

/** The sine of angles in radians. */
export function sine(x: SymbolicTensor): SymbolicTensor {
  return unary('Sin', x, (g) => multiply(g, cosine(x)));
}

/** The cosine of angles in radians. */
export function cosine(x: SymbolicTensor): SymbolicTensor {
  return unary('Cos', x, (g) => negate(multiply(g, sine(x))));
}

/** 1 / (1 + exp(-x)). */
export function sigmoid(x: SymbolicTensor): SymbolicTensor {
  return unary('Sigmoid', x, (g, out) => multiply(g, subtract(out, square(out))));
}

/** The hyperbolic tangent. */
export function tanh(x: SymbolicTensor): SymbolicTensor {
  return unary('Tanh', x, (g, out) => subtract(g, multiply(g, square(out))));
}
