/**
 * @file Conditioning apart from the layers: timestep and label enter a layer only as modulation vectors, so those
 * of every (timestep, label) pair of a run are computed at once, and a third of the weights rests after that.
 */

import { at, get } from '../at.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/transformer.ts';
import { FINAL_MODULATIONS, LAYER_MODULATIONS, rowsOf } from '../models/acdit/weights.ts';
import type { Device, Program } from '../runtime/device.ts';
import { type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { conditionGraph, modulationGraph } from './graphs.ts';
import { graphWeights, type WeightSource } from './segments.ts';

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

/** Computes the modulations of some conditions. */
export type ComputeModulations = (conditions: readonly Condition[]) => Promise<ModulationTable>;

/** Returns the floats per condition of a table. */
export function modulationSize({ layers, hidden }: AcditConfig): number {
  return (layers * LAYER_MODULATIONS + FINAL_MODULATIONS) * hidden;
}

/**
 * Conditions per product. The rounding of a product depends on its number of rows: one row takes another kernel, and
 * a few may be split differently among the threads. With a fixed number of rows, a condition's modulations are the same
 * bits in any product.
 */
const ROWS = 64;

/**
 * Compile the conditioning. Its weights are asked for when conditions are computed and not kept: they are used once a
 * run, and a third of the model.
 */
export async function compileModulations(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
): Promise<{ readonly compute: ComputeModulations; dispose(): Promise<void> }> {
  const vectorGraph = conditionGraph(config);
  const condition = await device.compile(vectorGraph);
  const layer = await device.compile(modulationGraph(config, LAYER_MODULATIONS));
  const final = await device.compile(modulationGraph(config, FINAL_MODULATIONS));
  /** Condition vectors (ROWS, C) of each chunk. */
  async function conditionVectors(chunks: readonly (readonly Condition[])[]): Promise<Tensor[]> {
    const weights = await graphWeights(vectorGraph, source);
    const vectors: Tensor[] = [];
    for (const chunk of chunks) {
      const features = timestepFeatures(chunk.map(({ timestep }) => timestep));
      const labels = Int32Array.from(chunk, ({ label }) => label);
      const feeds = { ...weights, features, labels: tensor('int32', [ROWS], labels) };
      vectors.push(get(await condition.run(feeds), 'condition'));
    }
    return vectors;
  }

  return {
    async compute(conditions) {
      const vectors = await conditionVectors(fullChunks(conditions));
      const buffer = new Uint8Array(4 * LAYER_MODULATIONS * config.hidden ** 2);
      async function modulate(program: Program, prefix: string, count: number): Promise<Tensor<'float32'>> {
        const weight = await source(`${prefix}adaLN_modulation.1.weight`, buffer);
        const bias = await source(`${prefix}adaLN_modulation.1.bias`);
        const table = zeros('float32', [conditions.length, count, config.hidden]);
        const modulation = zeros('float32', [ROWS, count, config.hidden]);
        for (const [i, vector] of vectors.entries()) {
          await program.run({ condition: vector, weight, bias }, { modulation });
          const start = i * modulation.data.length;
          table.data.set(modulation.data.subarray(0, table.data.length - start), start);
        }
        return table;
      }
      const tables: Tensor<'float32'>[] = [];
      for (let i = 0; i < config.layers; i++) {
        tables.push(await modulate(layer, `blocks.${i}.`, LAYER_MODULATIONS));
      }
      tables.push(await modulate(final, 'final_layer.', FINAL_MODULATIONS));
      const valuesOf = (row: number) => tables.map((table) => rowsOf(table, row, row + 1).data);
      return tableOf(new Map(conditions.map((condition, row) => [conditionKey(condition), valuesOf(row)])));
    },
    async dispose() {
      for (const program of [condition, layer, final]) await program.dispose();
    },
  };
}

/** Chunks of {@link ROWS} conditions each; copies of its first one fill the last. */
function fullChunks(conditions: readonly Condition[]): Condition[][] {
  return Array.from({ length: Math.ceil(conditions.length / ROWS) }, (_, chunk) => {
    const first = at(conditions, chunk * ROWS);
    return Array.from({ length: ROWS }, (_, row) => conditions[chunk * ROWS + row] ?? first);
  });
}

/** Returns what identifies a condition, as a map's key. */
export function conditionKey({ timestep, label }: Condition): string {
  return `${timestep}/${label}`;
}

/** The values of each layer, and of the final one, by condition. */
type Rows = Map<string, readonly Float32Array[]>;

function tableOf(rows: Rows): ModulationTable {
  return {
    has: (condition) => rows.has(conditionKey(condition)),
    row: (layer, condition) => at(rows.get(conditionKey(condition)) ?? [], layer),
  };
}

/** Bytes of modulations that are kept for later requests. */
const KEPT_BYTES = 512e6;

/** Keeps modulations that were computed: requests ask for the same steps again and again. */
export function rememberModulations(
  config: AcditConfig,
  compute: ComputeModulations,
  capacity = KEPT_BYTES,
): ComputeModulations {
  const max = Math.max(1, Math.floor(capacity / 4 / modulationSize(config)));
  /** Those that were used least recently first. */
  const known: Rows = new Map();
  return async (conditions) => {
    const rows: Rows = new Map();
    const missing = new Map<string, Condition>();
    for (const condition of conditions) {
      const key = conditionKey(condition);
      const values = known.get(key);
      if (values) rows.set(key, values);
      else missing.set(key, condition);
    }
    // Other calls may add rows in the meantime, but do not change these.
    if (missing.size > 0) {
      const table = await compute([...missing.values()]);
      const valuesOf = (condition: Condition): Float32Array[] =>
        Array.from({ length: config.layers + 1 }, (_, layer) => table.row(layer, condition).slice());
      for (const [key, condition] of missing) rows.set(key, valuesOf(condition));
    }
    for (const [key, values] of rows) {
      known.delete(key);
      known.set(key, values);
    }
    for (const key of known.keys()) {
      if (known.size <= max) break;
      known.delete(key);
    }
    return tableOf(rows);
  };
}
