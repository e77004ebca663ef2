/**
 * @file The engine for CPUs: all rows of a pass go from segment to segment, and between two segments each sample attends
 * its own cache. A finished block takes the same way as a noised one, with shift 0, scale 0 and gate 1.
 */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { type AcditConfig, headSize, passConfig, tokenSize } from '../models/acdit/config.ts';
import { createPositions, type Positions, type RopeTables } from '../models/acdit/rope.ts';
import { CLEAN_MODULATION, rowsOf } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { elementCount, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { PassAttention, type PlacedSequence } from './attention.ts';
import { type CacheBlocks, extendedCache, type KeyValueCache, pickedBlocks } from './cache.ts';
import { numbered } from './graphs.ts';
import {
  type Arrangement,
  type PassEngine,
  type PassResult,
  rowCount,
  type Sequence,
} from './pass-engine.ts';
import { type Buffers, createRowCheck, createWorkspace, firstRows, type Workspace } from './workspace.ts';

export class SegmentEngine implements PassEngine<KeyValueCache> {
  readonly #config: AcditConfig;
  readonly #segments: readonly Program[];
  readonly #attention: PassAttention;
  /** For the first segment, one between (all are alike) and the last. */
  readonly #checks: readonly ((rows: number) => Promise<boolean>)[];
  readonly #positions: Positions;
  readonly #unrotated: RopeTables;
  readonly #cleanModulation: Float32Array;
  /** The largest that was needed so far. */
  #workspace: Workspace;

  /** @param segments those of `compileSegments` */
  constructor(device: Device, model: AcditConfig, segments: readonly Program[]) {
    const config = passConfig(model);
    const { layers, hidden } = config;
    this.#config = config;
    this.#segments = segments;
    this.#positions = createPositions(model);
    this.#attention = new PassAttention(device, config, this.#positions);
    this.#unrotated = noRotation(config);
    this.#cleanModulation = Float32Array.from(
      CLEAN_MODULATION.flatMap((value) => Array<number>(hidden).fill(value)),
    );
    this.#workspace = createWorkspace(config, 1);
    const checked = new Set([0, Math.min(1, layers), layers]);
    this.#checks = [...checked].map((index) => createRowCheck(config, at(segments, index)));
  }

  async run(
    sequences: readonly Sequence<KeyValueCache>[],
    mayStop: () => void,
  ): Promise<PassResult<KeyValueCache>[]> {
    const { layers, blockSize } = this.#config;
    mayStop();
    const placed = this.#place(sequences);
    const workspace = this.#workspaceFor(totalRows(placed));
    const attentions = await this.#attention.prepare(placed, workspace[0]);
    fillTokens(workspace[0], placed);
    for (let layer = 0; layer < layers; layer++) {
      mayStop();
      this.#fillModulation(buffersOf(workspace, layer).modulation, placed, layer);
      await this.#beginLayer(layer, workspace);
      for (const attend of attentions) await attend(layer);
    }
    const noise = await this.#predictNoise(workspace, placed);
    return placed.map(({ start, rows, samples, cache, extended = cache, noised }) => {
      const predicted = noised ? rows : 0;
      const { data } = rowsOf(noise, start, start + predicted);
      const shape = [predicted / samples, samples, blockSize, tokenSize(this.#config)];
      return { noise: float32(shape, data), cache: extended };
    });
  }

  async mayShare(sequences: readonly Sequence[]): Promise<boolean> {
    const all = totalRows(sequences);
    const noised = totalRows(sequences.filter(isNoised));
    for (const [i, check] of this.#checks.entries()) {
      // Only noised rows go through the last segment.
      const rows = i === this.#checks.length - 1 ? noised : all;
      if (rows > 0 && !(await check(rows))) return false;
    }
    return true;
  }

  async arrange(
    parts: readonly CacheBlocks<KeyValueCache>[],
    { place, places }: Arrangement,
  ): Promise<KeyValueCache> {
    const picked = (kind: 'keys' | 'values' | 'plainKeys') => pickedBlocks(this.#config, parts, kind);
    const sliding = parts.every(({ cache }) => cache.plainKeys);
    if (places && !sliding) throw new ArgumentError('arrange: the cache keeps no keys before rotation');
    const blocks = parts.reduce((sum, part) => sum + part.blocks.length, 0);
    const values = picked('values');
    if (!sliding) return { blocks, place, keys: picked('keys'), values };
    const plainKeys = picked('plainKeys');
    if (!places) return { blocks, place, keys: picked('keys'), values, plainKeys };
    const keys: Tensor<'float32'>[][] = [];
    for (const layer of plainKeys) {
      keys.push(await Promise.all(layer.map((part) => this.#attention.rotate(part, places))));
    }
    return { blocks, place, keys, values, plainKeys };
  }

  async dispose(): Promise<void> {
    for (const segment of this.#segments) await segment.dispose();
    await this.#attention.dispose();
  }

  /** Gives each sequence its rows: noised ones first, since only they go through the last segment. */
  #place(sequences: readonly Sequence<KeyValueCache>[]): PlacedSequence[] {
    let [noisedStart, cleanStart] = [0, totalRows(sequences.filter(isNoised))];
    return sequences.map((sequence): PlacedSequence => {
      const { latents, cache, noised } = sequence;
      const rows = rowCount(sequence);
      const samples = at(latents.shape, 0);
      const start = noised ? noisedStart : cleanStart;
      if (noised) noisedStart += rows;
      else cleanStart += rows;
      // A sliding cache needs keys before rotation, so the attention of a block that joins it rotates.
      const rope = !noised && cache.plainKeys ? this.#unrotated : this.#positions(cache.place);
      const extended = noised ? undefined : extendedCache(this.#config, samples, cache);
      return { ...sequence, start, rows, samples, rope, extended };
    });
  }

  #workspaceFor(rows: number): Workspace {
    if (rows > at(this.#workspace[0].tokens.shape, 0)) this.#workspace = createWorkspace(this.#config, rows);
    return firstRows(this.#workspace, rows);
  }

  /** Writes a layer's modulations of all rows. */
  #fillModulation(
    { shape, data }: Tensor<'float32'>,
    placed: readonly PlacedSequence[],
    layer: number,
  ): void {
    const size = elementCount(shape.slice(1));
    for (const { start, rows, noised, finished } of placed) {
      const conditioned = noised ?? finished;
      for (let row = 0; row < rows; row++) {
        const values =
          conditioned?.table.row(layer, at(conditioned.conditions, row)) ?? this.#cleanModulation;
        data.set(values, (start + row) * size);
      }
    }
  }

  /** Runs segment `index` up to its layer's attention inputs, which it leaves in the workspace. */
  async #beginLayer(index: number, workspace: Workspace): Promise<void> {
    const { tokens, cos, sin, hidden, modulation, query, key, value } = buffersOf(workspace, index);
    const before = index === 0 ? { tokens } : endOfLayer(index - 1, workspace);
    await at(this.#segments, index).run(
      { ...before, ...ofLayer(index, { modulation }), cos, sin },
      ofLayer(index, { hidden, query, key, value }),
    );
  }

  /** Runs the last segment for the noised rows: (rows, 1, B, token size). */
  async #predictNoise(workspace: Workspace, placed: readonly PlacedSequence[]): Promise<Tensor<'float32'>> {
    const { layers } = this.#config;
    const noised = placed.filter(isNoised);
    const rows = totalRows(noised);
    const own = firstRows(workspace, rows);
    const [{ tokens, finalModulation }] = own;
    if (rows === 0) return tokens;
    this.#fillModulation(finalModulation, noised, layers);
    const { noise } = await at(this.#segments, layers).run({
      ...endOfLayer(layers - 1, own),
      finalModulation,
    });
    return noise as Tensor<'float32'>;
  }
}

/** What the segment after a layer takes of it. */
function endOfLayer(layer: number, workspace: Workspace): Feeds {
  const { hidden, attended, modulation } = buffersOf(workspace, layer);
  return ofLayer(layer, { hidden, attended, modulation });
}

/** Tensors under the names that segments have for those of a layer. */
function ofLayer(layer: number, tensors: Feeds): Feeds {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [numbered(name, layer), value]));
}

function buffersOf([even, odd]: Workspace, layer: number): Buffers {
  return layer % 2 === 0 ? even : odd;
}

function isNoised({ noised }: Sequence): boolean {
  return noised !== undefined;
}

function totalRows(sequences: readonly Sequence[]): number {
  return sequences.reduce((sum, sequence) => sum + rowCount(sequence), 0);
}

/** Writes the tokens of all rows, and where they are. */
function fillTokens({ tokens, cos, sin }: Buffers, placed: readonly PlacedSequence[]): void {
  const rowSize = elementCount(tokens.shape.slice(1));
  for (const { start, rows, latents, rope } of placed) {
    for (let offset = 0; offset < rows * rowSize; offset += latents.data.length) {
      tokens.data.set(latents.data, start * rowSize + offset);
    }
    for (let row = start; row < start + rows; row++) {
      cos.data.set(rope.cos.data, row * rope.cos.data.length);
      sin.data.set(rope.sin.data, row * rope.sin.data.length);
    }
  }
}

/** Returns tables that rotate nothing. */
function noRotation(config: AcditConfig): RopeTables {
  const shape = [config.blockSize, headSize(config)];
  return {
    cos: float32(shape, new Float32Array(elementCount(shape)).fill(1)),
    sin: zeros('float32', shape),
  };
}
