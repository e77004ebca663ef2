/** @file AdamW with global gradient clipping and a moving average of the weights, in place on the host. */

import type { Weights } from '../models/acdit/weights.ts';
import { zeros } from '../tensor/tensor.ts';

export interface OptimizerOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Decoupled: weights shrink by learning rate times this. */
  readonly weightDecay: number;
  /** Gradients are scaled down to at most this norm. */
  readonly clip: number;
  /** Decay of the moving average. */
  readonly ema: number;
}

/** Everything that training changes. All four have the names and shapes of the weights. */
export interface OptimizerState {
  readonly weights: Weights;
  readonly ema: Weights;
  readonly firstMoments: Weights;
  readonly secondMoments: Weights;
}

/** A state at step 0: the moving average begins at the weights. */
export function initialState(weights: Weights): OptimizerState {
  return {
    weights,
    ema: new Map([...weights].map(([name, value]) => [name, { ...value, data: value.data.slice() }])),
    firstMoments: zerosLike(weights),
    secondMoments: zerosLike(weights),
  };
}

export function zerosLike(weights: Weights): Weights {
  return new Map([...weights].map(([name, { shape }]) => [name, zeros('float32', shape)]));
}

/** The L2 norm of all gradients together. */
export function gradientNorm(gradients: Weights): number {
  let sum = 0;
  for (const { data } of gradients.values()) sum += sumOfSquares(data);
  return Math.sqrt(sum);
}

/** In four partial sums: one would wait for each addition to end before the next. */
function sumOfSquares(data: Float32Array): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  const even = data.length - (data.length % 4);
  for (let i = 0; i < even; i += 4) {
    a += data[i] * data[i];
    b += data[i + 1] * data[i + 1];
    c += data[i + 2] * data[i + 2];
    d += data[i + 3] * data[i + 3];
  }
  for (let i = even; i < data.length; i++) a += data[i] * data[i];
  return a + b + c + d;
}

/** What gradients are multiplied by so that their norm is at most `clip` (torch.nn.utils.clip_grad_norm_). */
export function clipFactor(norm: number, clip: number): number {
  return Math.min(1, clip / (norm + 1e-6));
}

/**
 * One AdamW step (Loshchilov and Hutter, 2019), as torch.optim.AdamW does it.
 * @param step counts from 1
 * @param gradientScale multiplies the gradients, such as by {@link clipFactor}
 */
export function adamwStep(
  state: OptimizerState,
  gradients: Weights,
  options: OptimizerOptions,
  learningRate: number,
  step: number,
  gradientScale: number,
): void {
  const [beta1, beta2] = options.betas;
  const constants: StepConstants = {
    beta1,
    beta2,
    gradientScale,
    keep: 1 - learningRate * options.weightDecay,
    stepSize: learningRate / (1 - beta1 ** step),
    rootCorrection: 1 / Math.sqrt(1 - beta2 ** step),
    epsilon: options.epsilon,
    ema: options.ema,
  };
  for (const [name, { data }] of state.weights) {
    updateParameter(
      constants,
      data,
      gradients.get(name)!.data,
      state.firstMoments.get(name)!.data,
      state.secondMoments.get(name)!.data,
      state.ema.get(name)!.data,
    );
  }
}

interface StepConstants {
  readonly beta1: number;
  readonly beta2: number;
  readonly gradientScale: number;
  /** What weight decay leaves of a weight. */
  readonly keep: number;
  readonly stepSize: number;
  readonly rootCorrection: number;
  readonly epsilon: number;
  readonly ema: number;
}

function updateParameter(
  { beta1, beta2, gradientScale, keep, stepSize, rootCorrection, epsilon, ema }: StepConstants,
  weights: Float32Array,
  gradients: Float32Array,
  first: Float32Array,
  second: Float32Array,
  average: Float32Array,
): void {
  const rest1 = 1 - beta1;
  const rest2 = 1 - beta2;
  const restEma = 1 - ema;
  for (let i = 0; i < weights.length; i++) {
    const gradient = gradients[i] * gradientScale;
    const momentum = beta1 * first[i] + rest1 * gradient;
    const variance = beta2 * second[i] + rest2 * gradient * gradient;
    const weight =
      keep * weights[i] - (stepSize * momentum) / (Math.sqrt(variance) * rootCorrection + epsilon);
    first[i] = momentum;
    second[i] = variance;
    weights[i] = weight;
    average[i] = ema * average[i] + restEma * weight;
  }
}
