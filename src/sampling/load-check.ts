/**
 * @file Models are checked when they are loaded: before its first sample, a compiled model predicts the noise of a fixed block,
 * which must be about what float32 on the CPU predicts with the same weights. Drivers and kernels that compute wrongly are found
 * this way, and so are models whose values do not survive rounding. The next precision or device is used then.
 */

import { messageOf } from '../attempt.ts';
import { DeviceError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import { type AcditConfig, passConfig, tokenSize } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { EMPTY_CACHE } from './cache.ts';
import type { Condition, ModulationTable } from './modulation-table.ts';
import {
  type NoisePredictor,
  type NoisePredictorOptions,
  openNoisePredictor,
  openStreamedPredictor,
} from './noise-predictor.ts';
import type { Precision } from './precision.ts';
import type { WeightSource } from './segments.ts';

/**
 * The largest error of the predicted noise: the root mean square of the difference from float32, as a share. In 8 bits the
 * bundled models are 1% off, and one of the paper's sizes 2%; in half floats they are 0.02% off.
 */
const LARGEST_ERROR: Readonly<Record<Precision, number>> = { fp32: 0.01, fp16: 0.02, int8: 0.05 };

/** What the noised block is conditioned on. With little noise in it, errors show most. */
const CONDITION: Condition = { timestep: 20, label: 0 };
const SEED = 1;

/** What computes a model's samples. */
export interface Placement {
  readonly device: Device;
  readonly precision: Precision;
}

/** A placement that is used instead of the one before, which computes wrongly. */
export interface Fallback extends Placement {
  /** What is wrong, and what is used instead. */
  readonly message: string;
}

/** How a model is checked. */
export interface LoadCheckOptions {
  /** Whether to compare what the model predicts with float32 on the CPU, unless that is what it runs on (default: true). */
  readonly check?: boolean | undefined;
  /** Gets the placement that is used instead of one that computes wrongly; may throw (default: `console.warn`). */
  readonly onFallback?: ((fallback: Fallback) => void) | undefined;
}

/** A checked model, and where it ended up. */
export interface CheckedPredictor extends Placement {
  readonly predictor: NoisePredictor;
}

/**
 * Compiles a model for sampling, and checks what it predicts. If that is wrong, float32 is next, and the CPU after that.
 * @throws {DeviceError} if the last of them cannot be compiled
 */
export async function openCheckedPredictor(
  { device, precision }: Placement,
  config: AcditConfig,
  source: WeightSource,
  {
    check = true,
    onFallback = ({ message }) => console.warn(message),
    ...options
  }: LoadCheckOptions & NoisePredictorOptions,
): Promise<CheckedPredictor> {
  const open = (placement: Placement): Promise<NoisePredictor> =>
    openNoisePredictor(placement.device, config, source, { ...options, precision: placement.precision });
  const first = { device, precision };
  const cpu = device.separateMemory ? await device.host?.() : device;
  if (!check || !cpu || isReference(first, cpu)) return { ...first, predictor: await open(first) };
  const expected = await referencePrediction(cpu, config, source, cpu !== device, options.signal);
  let placement: Placement = first;
  while (!isReference(placement, cpu)) {
    const { predictor, problem } = await tryPlacement(() => open(placement), placement, expected);
    if (predictor) return { ...placement, predictor };
    const next = { device: placement.precision === 'fp32' ? cpu : device, precision: 'fp32' } as const;
    onFallback({ ...next, message: `${nameOf(placement)} ${problem}; ${nameOf(next)} is used instead` });
    placement = next;
  }
  return { ...placement, predictor: await open(placement) };
}

/** Float32 on the CPU is what others are compared with. */
function isReference({ device, precision }: Placement, cpu: Device): boolean {
  return device === cpu && precision === 'fp32';
}

function nameOf({ device, precision }: Placement): string {
  return `${precision} on ${device.name}`;
}

/** What a model predicts for the fixed block. */
interface Prediction {
  readonly noise: Float32Array;
  /** Undefined if the device that is checked computes its own. */
  readonly table: ModulationTable | undefined;
  /** Whether a clean block goes through the model before, which the noised one attends. */
  readonly attends: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Predicts in float32 on the CPU. On a GPU there is more to check: modulations, and attention to a cache. A CPU computes
 * these in float32 anyway.
 */
async function referencePrediction(
  cpu: Device,
  config: AcditConfig,
  source: WeightSource,
  onGpu: boolean,
  signal: AbortSignal | undefined,
): Promise<Prediction> {
  const how = { attends: onGpu && passConfig(config).blocks > 1, signal };
  return closingAfter(await openStreamedPredictor(cpu, config, source), async (predictor) => {
    const table = await predictor.modulations([CONDITION]);
    const noise = await predictFixedBlock(predictor, table, how);
    return { noise, table: onGpu ? undefined : table, ...how };
  });
}

async function predictFixedBlock(
  predictor: NoisePredictor,
  table: ModulationTable,
  { attends, signal }: Pick<Prediction, 'attends' | 'signal'>,
): Promise<Float32Array> {
  const config = passConfig(predictor.config);
  const generator = new Generator(SEED);
  const shape = [1, config.blockSize, tokenSize(config)];
  const draw = (): Tensor<'float32'> => float32(shape, generator.randn(config.blockSize * tokenSize(config)));
  const cache = attends ? await predictor.append(draw(), EMPTY_CACHE, signal) : EMPTY_CACHE;
  const { data } = await predictor.denoise(draw(), [CONDITION], table, cache, signal);
  cache.dispose?.();
  return data;
}

/** Opens a model, and returns what is wrong with it, if anything is. */
async function tryPlacement(
  open: () => Promise<NoisePredictor>,
  { precision }: Placement,
  expected: Prediction,
): Promise<{ readonly predictor?: NoisePredictor; readonly problem?: string }> {
  let predictor: NoisePredictor | undefined;
  try {
    predictor = await open();
    const table = expected.table ?? (await predictor.modulations([CONDITION]));
    const noise = await predictFixedBlock(predictor, table, expected);
    const problem = whatIsWrong(noise, expected.noise, LARGEST_ERROR[precision]);
    if (problem === undefined) return { predictor };
    await predictor.dispose();
    return { problem };
  } catch (error) {
    await predictor?.dispose();
    if (!(error instanceof DeviceError)) throw error;
    return { problem: `fails (${messageOf(error)})` };
  }
}

function whatIsWrong(actual: Float32Array, expected: Float32Array, largest: number): string | undefined {
  // Broken weights are reported when the model is sampled.
  if (!expected.every(Number.isFinite)) return undefined;
  if (!actual.every(Number.isFinite)) return 'predicts noise that is not finite';
  const error = relativeError(actual, expected);
  if (error <= largest) return undefined;
  const percent = (share: number): string => `${Number((100 * share).toPrecision(2))}%`;
  return `predicts noise that is ${percent(error)} off (at most ${percent(largest)} is right)`;
}

/** Returns the root mean square of the difference, as a share of the expected values'. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  const difference = actual.reduce((sum, value, i) => sum + (value - (expected[i] as number)) ** 2, 0);
  const sum = expected.reduce((total, value) => total + value ** 2, 0);
  return difference === 0 ? 0 : Math.sqrt(difference / sum);
}
