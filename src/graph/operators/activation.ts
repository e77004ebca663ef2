/** @file Activations with their gradients in few passes over memory. */

import { remember, type SymbolicTensor } from '../symbolic.ts';
import { reduceSum } from './broadcasting.ts';
import { add, exponential, multiply, scale, shift, sigmoid, square, subtract, unary } from './elementwise.ts';

/** max(x, 0). The gradient at 0 is 0. */
export function relu(x: SymbolicTensor): SymbolicTensor {
  return unary('Relu', x, (g, y) =>
    multiply(
      g,
      unary('Sign', y, () => undefined),
    ),
  );
}

/** x * sigmoid(x). */
export function silu(x: SymbolicTensor): SymbolicTensor {
  return multiply(x, sigmoid(x));
}

/** 2 sqrt(2/pi): tanh(u) = 2 sigmoid(2u) - 1 turns GELU's tanh form into x * sigmoid(2u). */
const GELU_LINEAR = 2 * Math.sqrt(2 / Math.PI);
const GELU_CUBIC = GELU_LINEAR * 0.044715;

/** GELU in its tanh form: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))). */
export function gelu(x: SymbolicTensor): SymbolicTensor {
  // The slope takes a dozen passes. A forward program, which has x in the processor's cache, can save it in its place.
  return unary('Gelu', x, (g, y) => multiply(g, remember(geluSlope(x, y))), { approximate: 'tanh' });
}

/** y = x s with s = sigmoid(x (a + b x²)), so y' = s + (y - y s)(a + 3 b x²). */
function geluSlope(x: SymbolicTensor, y: SymbolicTensor): SymbolicTensor {
  const cubic = scale(square(x), GELU_CUBIC);
  const s = sigmoid(multiply(x, shift(cubic, GELU_LINEAR)));
  return add(s, multiply(subtract(y, multiply(y, s)), shift(scale(cubic, 3), GELU_LINEAR)));
}

/** Softmax over the last axis. */
export function softmax(x: SymbolicTensor): SymbolicTensor {
  const gradient = (g: SymbolicTensor, p: SymbolicTensor): SymbolicTensor =>
    multiply(p, subtract(g, reduceSum(multiply(g, p), [-1], true)));
  return unary('Softmax', x, gradient, { axis: -1 });
}

/** The logarithm of softmax over the last axis, which does not overflow where softmax would round to 0. */
export function logSoftmax(x: SymbolicTensor): SymbolicTensor {
  const gradient = (g: SymbolicTensor, y: SymbolicTensor): SymbolicTensor =>
    subtract(g, multiply(exponential(y), reduceSum(g, [-1], true)));
  return unary('LogSoftmax', x, gradient, { axis: -1 });
}
