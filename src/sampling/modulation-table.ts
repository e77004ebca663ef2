/**
 * @file Conditioning apart from the trunk: timestep and label enter a layer only as modulation vectors, so those
 * of every (timestep, label) pair of a run are computed at once, and a third of the weights rests after that.
 */

import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import { CONDITION_WEIGHTS, LAYER_MODULATIONS } from '../models/acdit/weights.ts';
import type { Device, Program } from '../runtime/device.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import { conditionGraph, modulationGraph } from './graphs.ts';
import type { WeightSource } from './segments.ts';

/** What a noised block is conditioned on. The label `classes` stands for "no class". */
export interface Condition {
  readonly timestep: number;
  readonly label: number;
}

/** Modulations of some conditions. */
export interface ModulationTable {
  has(condition: Condition): boolean;
  /** The 6 C values of a condition in a layer; the 2 C values of the final layer if `layer` is `layers`. */
  row(layer: number, condition: Condition): Float32Array;
}

export interface ModulationPrograms {
  compute(conditions: readonly Condition[]): Promise<ModulationTable>;
  dispose(): Promise<void>;
}

/** Floats a condition takes in a table. */
export function modulationSize({ layers, hidden }: AcditConfig): number {
  return (layers * LAYER_MODULATIONS + 2) * hidden;
}

/**
 * Compile the conditioning. Its weights are asked for when conditions are computed and not kept: they are used once a
 * run, and a third of the model.
 */
export async function compileModulations(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
): Promise<ModulationPrograms> {
  const condition = await device.compile(conditionGraph(config));
  const layer = await device.compile(modulationGraph(config, LAYER_MODULATIONS));
  const final = await device.compile(modulationGraph(config, 2));
  return {
    async compute(conditions) {
      const feeds: Record<string, Tensor> = {
        features: timestepFeatures(conditions.map(({ timestep }) => timestep)),
        labels: tensor(
          'int64',
          [conditions.length],
          BigInt64Array.from(conditions, ({ label }) => BigInt(label)),
        ),
      };
      for (const name of CONDITION_WEIGHTS) feeds[name] = await source(name);
      const { condition: vectors } = await condition.run(feeds);
      const room = new Uint8Array(4 * LAYER_MODULATIONS * config.hidden ** 2);
      const modulate = async (program: Program, prefix: string): Promise<Tensor<'float32'>> => {
        const weight = await source(`${prefix}adaLN_modulation.1.weight`, room);
        const bias = await source(`${prefix}adaLN_modulation.1.bias`);
        const { modulation } = await program.run({ condition: vectors, weight, bias });
        return modulation as Tensor<'float32'>;
      };
      const tables: Tensor<'float32'>[] = [];
      for (let i = 0; i < config.layers; i++) tables.push(await modulate(layer, `blocks.${i}.`));
      tables.push(await modulate(final, 'final_layer.'));
      return createTable(conditions, tables);
    },
    async dispose() {
      for (const program of [condition, layer, final]) await program.dispose();
    },
  };
}

function keyOf({ timestep, label }: Condition): string {
  return `${timestep}/${label}`;
}

function createTable(
  conditions: readonly Condition[],
  tables: readonly Tensor<'float32'>[],
): ModulationTable {
  const rows = new Map(conditions.map((condition, row) => [keyOf(condition), row]));
  return {
    has: (condition) => rows.has(keyOf(condition)),
    row(layer, condition) {
      const { shape, data } = tables[layer];
      const size = elementCount(shape.slice(1));
      const row = rows.get(keyOf(condition))!;
      return data.subarray(row * size, (row + 1) * size);
    },
  };
}
