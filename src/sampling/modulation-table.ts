/**
 * @file Conditioning apart from the trunk: timestep and label enter a layer only as modulation vectors, so those
 * of every (timestep, label) pair of a run are computed at once, and a third of the weights rests after that.
 */

import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/timestep.ts';
import { LAYER_MODULATIONS, type Weights } from '../models/acdit/weights.ts';
import type { Device, Program } from '../runtime/device.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { CONDITION_WEIGHTS, conditionGraph, modulationGraph } from './graphs.ts';

/** What a noised block is conditioned on. The label `classes` stands for "no class". */
export interface Condition {
  readonly timestep: number;
  readonly label: number;
}

/** Modulations of some conditions. */
export interface ModulationTable {
  has(condition: Condition): boolean;
  /** (N, R, 6, C) of a layer for N x R conditions, or (N, R, 2, C) of the final layer if `layer` is `layers`. */
  gather(layer: number, conditions: readonly Condition[], branches: number): Tensor<'float32'>;
}

export interface ModulationPrograms {
  compute(weights: Weights, conditions: readonly Condition[]): Promise<ModulationTable>;
  dispose(): Promise<void>;
}

/** Floats a condition takes in a table. */
export function modulationSize({ layers, hidden }: AcditConfig): number {
  return (layers * LAYER_MODULATIONS + 2) * hidden;
}

export async function compileModulations(device: Device, config: AcditConfig): Promise<ModulationPrograms> {
  const condition = await device.compile(conditionGraph(config));
  const layer = await device.compile(modulationGraph(config, LAYER_MODULATIONS));
  const final = await device.compile(modulationGraph(config, 2));
  return {
    async compute(weights, conditions) {
      const feeds = {
        features: timestepFeatures(conditions.map(({ timestep }) => timestep)),
        labels: tensor(
          'int64',
          [conditions.length],
          BigInt64Array.from(conditions, ({ label }) => BigInt(label)),
        ),
        ...Object.fromEntries(CONDITION_WEIGHTS.map((name) => [name, weights.get(name)!])),
      };
      const { condition: vectors } = await condition.run(feeds);
      const tables: Tensor<'float32'>[] = [];
      for (let i = 0; i < config.layers; i++) {
        tables.push(await modulate(layer, weights, `blocks.${i}.`, vectors));
      }
      tables.push(await modulate(final, weights, 'final_layer.', vectors));
      return createTable(conditions, tables);
    },
    async dispose() {
      for (const program of [condition, layer, final]) await program.dispose();
    },
  };
}

async function modulate(
  program: Program,
  weights: Weights,
  prefix: string,
  vectors: Tensor,
): Promise<Tensor<'float32'>> {
  const { modulation } = await program.run({
    condition: vectors,
    weight: weights.get(`${prefix}adaLN_modulation.1.weight`)!,
    bias: weights.get(`${prefix}adaLN_modulation.1.bias`)!,
  });
  return modulation as Tensor<'float32'>;
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
    gather(layer, wanted, branches) {
      const { shape, data } = tables[layer];
      const inner = shape.slice(1);
      const size = elementCount(inner);
      const out = new Float32Array(wanted.length * size);
      for (const [i, condition] of wanted.entries()) {
        const row = rows.get(keyOf(condition))!;
        out.set(data.subarray(row * size, (row + 1) * size), i * size);
      }
      return float32([wanted.length / branches, branches, ...inner], out);
    },
  };
}
