/** @file How fast this machine will sample from a model, from a short measurement of its products. */

import type { AcditConfig } from '../models/acdit/config.ts';
import { layerProducts } from '../models/acdit/cost.ts';
import type { Device } from '../runtime/device.ts';
import { machine } from '../runtime/machine.ts';
import { type Precision, requirePrecision } from '../sampling/precision.ts';
import { passesOfSample } from '../sampling/request.ts';
import type { Macs, ModelNeeds } from './model-needs.ts';
import { productSpeeds } from './product-speed.ts';

/** What a model would run on, and how fast. */
export interface ExpectedSpeed {
  /** Name of the device. */
  readonly device: string;
  readonly threads: number;
  readonly precision: Precision;
  /** Estimated bytes of host memory, for the whole batch; undefined if the weights are in a memory of the device's own. */
  readonly memory: number | undefined;
  /** Bytes that this process may use. */
  readonly availableMemory: number;
  /** Multiply-adds per second in float32 and in the precision, in a product as wide as the model's. */
  readonly macsPerSecond: { readonly fp32: number; readonly precision: number };
  /** Seconds of one sample's multiply-adds at these speeds; everything else takes longer. */
  readonly seconds: {
    readonly firstBlockStep: Macs;
    readonly lastBlockStep: Macs;
    readonly sample: Macs;
    /** Of a sample with the preset `fast`; undefined without a tuned solver. */
    readonly fast?: number;
  };
}

/**
 * Measures products of a model's width on a device, in about a second, and divides the model's multiply-adds by their speed.
 * @throws {ArgumentError} if the device does not compute in the precision
 */
export async function expectedSpeed(
  config: AcditConfig,
  { macs, steps, fast, memory }: ModelNeeds,
  device: Device,
  precision: Precision,
): Promise<ExpectedSpeed> {
  requirePrecision(device, precision);
  const [fp32, chosen] = await productSpeeds(device, ['fp32', precision], config);
  const speeds = { fp32, precision: chosen };
  const inLayers = layerProducts(config);
  /** @param passes how often the layers' products are computed in the precision. */
  const time = (total: number, passes: number): number =>
    (total - passes * inLayers) / speeds.fp32 + (passes * inLayers) / speeds.precision;
  const times = ({ plain, guided }: Macs, passes: number): Macs => ({
    plain: time(plain, passes),
    guided: time(guided, 2 * passes),
  });
  return {
    device: device.name,
    threads: device.threads,
    precision,
    memory: device.separateMemory ? undefined : (precision === 'int8' ? memory.int8 : memory.sampling).total,
    availableMemory: machine().memory,
    macsPerSecond: speeds,
    seconds: {
      firstBlockStep: times(macs.firstBlockStep, 1),
      lastBlockStep: times(macs.lastBlockStep, 1),
      sample: times(macs.sample, steps * config.blocks),
      ...(fast && { fast: time(fast.macs, passesOfSample(fast)) }),
    },
  };
}
