/**
 * @file Conditioning apart from the trunk: timestep and label enter a layer only as modulation vectors, so those
 * of every (timestep, label) pair of a run are computed at once, and a third of the weights rests after that.
 */

import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import { LAYER_MODULATIONS } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { CONDITION_WEIGHTS, conditionGraph, modulationGraph } from './graphs.ts';
import type { WeightSource } from './segments.ts';

/** What a noised block is conditioned on. The label `classes` stands for "no class". */
export interface Condition {
  readonly timestep: number;
  readonly label: number;
}

/** Modulations of some conditions. */
export interface ModulationTable {
  has(condition: Condition): boolean;
  /** (groups, 1, 6, C) of a layer, a condition a group; (groups, 1, 2, C) of the final layer if `layer` is `layers`. */
  gather(layer: number, conditions: readonly Condition[]): Tensor<'float32'>;
}

export interface ModulationPrograms {
  compute(conditions: readonly Condition[]): Promise<ModulationTable>;
  dispose(): Promise<void>;
}

/** Floats a condition takes in a table. */
export function modulationSize({ layers, hidden }: AcditConfig): number {
  return (layers * LAYER_MODULATIONS + 2) * hidden;
}

/** Compile the conditioning; its weights stay in memory as they are, for they are used once a run. */
export async function compileModulations(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
): Promise<ModulationPrograms> {
  const condition = await device.compile(conditionGraph(config));
  const layer = await device.compile(modulationGraph(config, LAYER_MODULATIONS));
  const final = await device.compile(modulationGraph(config, 2));
  const conditionWeights: Record<string, Tensor> = {};
  for (const name of CONDITION_WEIGHTS) conditionWeights[name] = await source(name);
  const prefixes = [...Array.from({ length: config.layers }, (_, i) => `blocks.${i}.`), 'final_layer.'];
  const stages: { weight: Tensor; bias: Tensor }[] = [];
  for (const prefix of prefixes) {
    const name = `${prefix}adaLN_modulation.1.`;
    stages.push({ weight: await source(`${name}weight`), bias: await source(`${name}bias`) });
  }
  return {
    async compute(conditions) {
      const feeds = {
        features: timestepFeatures(conditions.map(({ timestep }) => timestep)),
        labels: tensor(
          'int64',
          [conditions.length],
          BigInt64Array.from(conditions, ({ label }) => BigInt(label)),
        ),
      };
      const { condition: vectors } = await condition.run({ ...feeds, ...conditionWeights });
      const tables: Tensor<'float32'>[] = [];
      for (const [i, stage] of stages.entries()) {
        const program = i < config.layers ? layer : final;
        const { modulation } = await program.run({ condition: vectors, ...stage });
        tables.push(modulation as Tensor<'float32'>);
      }
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
    gather(layer, wanted) {
      const { shape, data } = tables[layer];
      const inner = shape.slice(1);
      const size = elementCount(inner);
      const out = new Float32Array(wanted.length * size);
      for (const [i, condition] of wanted.entries()) {
        const row = rows.get(keyOf(condition))!;
        out.set(data.subarray(row * size, (row + 1) * size), i * size);
      }
      return float32([wanted.length, 1, ...inner], out);
    },
  };
}
