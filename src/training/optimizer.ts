/**
 * @file AdamW with global gradient clipping and a moving average of the weights, in place. It is a graph like
 * everything else, run over pieces small enough to stay in the processor's cache: a step over 130 million parameters
 * is then bound by reading memory once, not by arithmetic.
 */

import { at, float32At, take } from '../at.ts';
import { TrainingError } from '../errors.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import {
  add,
  divide,
  multiply,
  square,
  squareRoot,
  subtract,
  sumOfSquares,
} from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';

/** Settings of AdamW and of the moving average, for a whole training. */
export interface OptimizerOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  /** Decoupled: weights shrink by learning rate times this. */
  readonly weightDecay: number;
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

/** Settings of one step. */
export interface StepOptions {
  readonly learningRate: number;
  /** Counts from 1. */
  readonly step: number;
  /** Multiplies the gradients, such as by {@link clipFactor}. */
  readonly gradientScale: number;
}

/** AdamW and the moving average of weights, compiled. */
export interface Optimizer {
  /** The L2 norm of all gradients together. */
  norm(gradients: Weights): Promise<number>;
  /**
   * Sums of the gradients' squares, one of each row of `ROW` values; a vector's last row may be shorter. The norm is
   * the root of their sum, added one after the other.
   */
  rowSums(gradients: Weights): AsyncGenerator<Float32Array>;
  /** One AdamW step (Loshchilov and Hutter, 2019), as torch.optim.AdamW does it, then the moving average. */
  step(state: OptimizerState, gradients: Weights, options: StepOptions): Promise<void>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** A state at step 0, which takes over `weights`: the moving average begins at a copy of them. */
export function initialState(weights: Weights): OptimizerState {
  const ema = zerosLike(weights);
  for (const [name, { data }] of weights) ema.get(name)!.data.set(data);
  return {
    weights: packed(weights),
    ema,
    firstMoments: zerosLike(weights),
    secondMoments: zerosLike(weights),
  };
}

/** Numbers that small tensors share the memory of: about as many as a run takes. */
const SLAB = 262144;

/** Zeros of the names and shapes of `weights`, laid out as by {@link packed}. */
export function zerosLike(weights: Weights): Weights {
  const sizes = [...weights.values()].map(({ data }) => data.length);
  let slab = new Float32Array();
  let used = 0;
  return new Map(
    [...weights].map(([name, { shape }], i) => {
      const size = at(sizes, i);
      if (used + size > slab.length) {
        slab = new Float32Array(slabSize(sizes, i));
        used = 0;
      }
      const data = slab.subarray(used, used + size);
      used += size;
      return [name, float32(shape, data)];
    }),
  );
}

/** As many of the tensors from `first` on as fit into a slab, or a larger one alone. */
function slabSize(sizes: readonly number[], first: number): number {
  let total = at(sizes, first);
  for (const size of sizes.slice(first + 1)) {
    if (total + size > SLAB) break;
    total += size;
  }
  return total;
}

/** Copies small tensors one after another, so that an optimizer's step takes fewer, longer runs. */
export function packed(weights: Weights): Weights {
  const copies = zerosLike(weights); // those of large tensors are never touched, so they take no memory
  return new Map(
    [...weights].map(([name, value]) => {
      if (value.data.length >= SLAB) return [name, value];
      const copy = copies.get(name)!;
      copy.data.set(value.data);
      return [name, copy];
    }),
  );
}

/** Tensors that lie one after another, as one each. */
export function contiguousRuns(weights: Weights): Float32Array[] {
  const found: Float32Array[] = [];
  for (const { data } of weights.values()) {
    const last = found.at(-1);
    if (last && last.buffer === data.buffer && last.byteOffset + last.byteLength === data.byteOffset) {
      found[found.length - 1] = new Float32Array(data.buffer, last.byteOffset, last.length + data.length);
    } else found.push(data);
  }
  return found;
}

/** What gradients are multiplied by so that their norm is at most `clip` (torch.nn.utils.clip_grad_norm_). */
export function clipFactor(norm: number, clip: number): number {
  return Math.min(1, clip / (norm + 1e-6));
}

/** @throws {TrainingError} with advice if the loss or the gradient of a step is no longer a number. */
export function requireFinite(step: number, loss: number, norm: number, advice: string): void {
  if (Number.isFinite(loss) && Number.isFinite(norm)) return;
  throw new TrainingError(`step ${step}: the loss is ${loss} and the gradient norm ${norm}; ${advice}`);
}

/** Values added up before doubles take over. */
export const ROW = 128;

/** Elements that belong to one rank, if there are several. */
export const PIECE = { most: 196608, multiple: ROW } as const;

/** Elements per run: few enough for those of all parts to share the processor's cache, enough to be worth a run. */
const RUN = 3 * PIECE.most;

const PARTS = ['weights', 'gradients', 'firstMoments', 'secondMoments', 'ema'] as const;

/** @param decays whether weights shrink; without, a pass less. */
function stepGraph(decays: boolean): Graph {
  const parts = PARTS.map((name) => input(name, ['count']));
  const [weights, gradients, firstMoments, secondMoments, ema] = take(parts, 5);
  const factor = (name: keyof ReturnType<typeof factorsOf>) => input(name, [1]);
  const momentum = add(multiply(firstMoments, factor('beta1')), multiply(gradients, factor('rest1')));
  const variance = add(
    multiply(secondMoments, factor('beta2')),
    square(multiply(gradients, factor('rest2'))),
  );
  const denominator = add(multiply(squareRoot(variance), factor('root')), factor('epsilon'));
  const kept = decays ? multiply(weights, factor('keep')) : weights;
  const updated = subtract(kept, divide(momentum, denominator));
  return graphOf({
    'next.weights': updated,
    'next.firstMoments': momentum,
    'next.secondMoments': variance,
    'next.ema': add(multiply(ema, factor('keepAverage')), multiply(updated, factor('restAverage'))),
  });
}

/**
 * With every constant folded into as few factors as can be: the update is
 * w keep - m / (sqrt(v) root + epsilon), where root and epsilon are divided by the step size.
 */
function factorsOf(options: OptimizerOptions, { learningRate, step, gradientScale }: StepOptions) {
  const [beta1, beta2] = options.betas;
  const stepSize = learningRate / (1 - beta1 ** step);
  return {
    beta1,
    rest1: (1 - beta1) * gradientScale,
    beta2,
    rest2: Math.sqrt(1 - beta2) * gradientScale,
    root: 1 / Math.sqrt(1 - beta2 ** step) / stepSize,
    epsilon: options.epsilon / stepSize,
    keep: 1 - learningRate * options.weightDecay,
    keepAverage: options.ema,
    restAverage: 1 - options.ema,
  };
}

/** Too small to move a weight, and its reciprocal is still a float32. */
const SMALLEST_RATE = 1e-30;

/** Vectors of the same memory that a run takes, by part, at most {@link RUN} elements long. */
function* pieces(parts: readonly Weights[]): Generator<Tensor<'float32'>[]> {
  const joined = parts.map(contiguousRuns);
  const lengths = joined.map((vectors) => vectors.map(({ length }) => length).join());
  const alike = lengths.every((list) => list === lengths[0]);
  const vectors = alike ? joined : parts.map((part) => [...part.values()].map(({ data }) => data));
  for (const [i, { length }] of at(vectors, 0).entries()) {
    for (let start = 0; start < length; start += RUN) {
      const end = Math.min(start + RUN, length);
      yield vectors.map((part) => float32([end - start], at(part, i).subarray(start, end)));
    }
  }
}

/** Compile the optimizer; it serves weights of any shapes. */
export async function compileOptimizer(device: Device, options: OptimizerOptions): Promise<Optimizer> {
  const decays = options.weightDecay > 0;
  const update = await device.compile(stepGraph(decays));
  const values = input('values', ['rows', 'columns']);
  const sumsOfSquares = await device.compile(graphOf({ sums: sumOfSquares(values) }));
  async function* rowSums(gradients: Weights): AsyncGenerator<Float32Array> {
    for (const vector of contiguousRuns(gradients)) {
      for (const rows of rowsOf(vector)) {
        const sums = zeros('float32', [at(rows.shape, 0), 1]);
        await sumsOfSquares.run({ values: rows }, { sums });
        yield sums.data;
      }
    }
  }
  return {
    rowSums,

    async norm(gradients) {
      let sum = 0;
      // Row by row, then in doubles: one float32 sum over millions would lose the small ones.
      for await (const sums of rowSums(gradients)) {
        for (let i = 0; i < sums.length; i++) sum += float32At(sums, i);
      }
      return Math.sqrt(sum);
    },

    async step(state, gradients, stepOptions) {
      // At a learning rate of 0 only the moments and the average move; the folded factors would divide by it.
      const learningRate = Math.max(stepOptions.learningRate, SMALLEST_RATE);
      const factors = factorsOf(options, { ...stepOptions, learningRate });
      const taken = Object.entries(factors).filter(([name]) => update.inputNames.includes(name));
      const feeds = Object.fromEntries(taken.map(([name, value]) => [name, float32([1], [value])]));
      const { weights, firstMoments, secondMoments, ema } = state;
      for (const piece of pieces([weights, gradients, firstMoments, secondMoments, ema])) {
        const parts = PARTS.map((name, i) => [name, at(piece, i)] as const);
        // Each result is computed from its old value by one last addition, so it may take that value's place.
        const changed = parts.filter(([name]) => name !== 'gradients');
        const results = changed.map(([name, value]) => [`next.${name}`, value] as const);
        await update.run({ ...Object.fromEntries(parts), ...feeds }, Object.fromEntries(results));
      }
    },

    async dispose() {
      await update.dispose();
      await sumsOfSquares.dispose();
    },
  };
}

/** A vector as a matrix of long rows, and what is left of it. */
function* rowsOf(data: Float32Array): Generator<Tensor<'float32'>> {
  const rows = Math.floor(data.length / ROW);
  if (rows > 0) yield float32([rows, ROW], data.subarray(0, rows * ROW));
  const rest = data.subarray(rows * ROW);
  if (rest.length > 0) yield float32([1, rest.length], rest);
}
