/**
 * @file The model as sampling uses it: predict the noise of blocks that attend their caches, and append finished blocks
 * to caches. Both walk the same segments, a finished block with shift 0, scale 0 and gate 1; so any number of both, of
 * sequences at any place, may go through in one pass.
 */

import { ArgumentError, DeviceError } from '../errors.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { rowsOf, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds } from '../runtime/device.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { createTurns } from '../turns.ts';
import { type KeyValueCache, withoutOldest } from './cache.ts';
import { numbered } from './graphs.ts';
import { type Condition, compileModulations, type ModulationTable } from './modulation-table.ts';
import { type Attending, createPassAttention } from './pass-attention.ts';
import {
  type AppendJob,
  createPassParts,
  type DenoiseJob,
  type DenoisePart,
  type PassPart,
} from './pass-parts.ts';
import { createRowCheck } from './row-check.ts';
import { type CompileOptions, compileSegments, type WeightSource, weightsInMemory } from './segments.ts';
import { createWholeSteps, stepsWhole } from './whole-step.ts';
import { attentionRows, createWorkspaces, type Workspace } from './workspace.ts';

/** Results of a pass, in the order of its jobs. */
export interface PassResults {
  /** Predicted noise (R, N, B, token size) of each block in progress. */
  readonly noise: readonly Tensor<'float32'>[];
  /** The caches with the finished blocks behind them. */
  readonly caches: readonly KeyValueCache[];
}

export interface Trunk {
  readonly config: AcditConfig;
  /** Modulations of every given condition, computed at once. */
  modulations(conditions: readonly Condition[]): Promise<ModulationTable>;
  /**
   * Predicted noise of block number `cache.blocks`.
   * @param latents (N, B, token size)
   * @param conditions R x N of them, a guidance branch's samples together, as in the official batch
   * @returns (R, N, B, token size)
   */
  denoise(
    latents: Tensor<'float32'>,
    conditions: readonly Condition[],
    table: ModulationTable,
    cache: KeyValueCache,
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>>;
  /** The cache with the finished block (N, B, token size) behind it. */
  append(latents: Tensor<'float32'>, cache: KeyValueCache, signal?: AbortSignal): Promise<KeyValueCache>;
  /**
   * Runs many independent jobs at once. A pass waits for those before it.
   * @param mayStop is called before each layer, and throws to stop the pass
   */
  pass(
    denoising: readonly DenoiseJob[],
    appending: readonly AppendJob[],
    mayStop?: () => void,
  ): Promise<PassResults>;
  /**
   * Checks whether a pass of these jobs gives each the same bits as a pass of its own. Devices with separate memory agree
   * within their tolerance, which counts as the same.
   */
  mayShare(denoising: readonly DenoiseJob[], appending: readonly AppendJob[]): Promise<boolean>;
  /** A sliding cache without its oldest block; the others move a place towards the beginning. */
  slide(cache: KeyValueCache): Promise<KeyValueCache>;
  dispose(): Promise<void>;
}

/** Prepare a model for sampling: compile its segments with the weights. Attention is compiled when first needed. */
export async function openTrunk(
  device: Device,
  config: AcditConfig,
  weights: Weights | WeightSource,
  options: CompileOptions = {},
): Promise<Trunk> {
  const { layers, blockSize } = config;
  const source = typeof weights === 'function' ? weights : weightsInMemory(weights);
  const modulationPrograms = await compileModulations(device, config, source);
  const segments = await compileSegments(device, config, source, options);
  const parts = createPassParts(config);
  const attention = createPassAttention(device, config);
  const wholeSteps = stepsWhole(device, config) ? createWholeSteps(device, config, source) : undefined;
  const workspaceFor = createWorkspaces(config);
  /** The first segment, one between (all are alike) and the last. */
  const checks = [...new Set([0, Math.min(1, layers), layers])].map((index) =>
    createRowCheck(segments[index], workspaceFor(1)),
  );
  /** Passes share a workspace, so they run one at a time. */
  const turn = createTurns();
  let disposed = false;

  /** Run segment `index` up to its layer's attention inputs, which land in the workspace. */
  async function beginLayer(index: number, room: Workspace): Promise<void> {
    const { tokens, cos, sin, blocks, modulations, query, key, value, attended } = room;
    const before: Feeds =
      index === 0
        ? { tokens }
        : ofLayer(index - 1, {
            hidden: blocks[index % 2],
            attended,
            modulation: modulations[(index - 1) % 2],
          });
    await segments[index].run(
      { ...before, ...ofLayer(index, { modulation: modulations[index % 2] }), cos, sin },
      ofLayer(index, { hidden: blocks[(index + 1) % 2], query, key, value }),
    );
  }

  /** Run the last segment for the first `groups` groups: (groups, 1, B, token size). */
  async function predictNoise(room: Workspace, groups: number): Promise<Tensor<'float32'>> {
    const first = (value: Tensor<'float32'>): Tensor<'float32'> => rowsOf(value, 0, groups);
    const { noise } = await segments[layers].run({
      ...ofLayer(layers - 1, {
        hidden: first(room.blocks[layers % 2]),
        attended: first(room.attended),
        modulation: first(room.modulations[(layers - 1) % 2]),
      }),
      finalModulation: first(room.finalModulation),
    });
    return noise as Tensor<'float32'>;
  }

  /** A part's predicted noise as (R, N, B, token size). */
  const noiseOf = ({ branches, samples }: DenoisePart, { data }: Tensor<'float32'>): Tensor<'float32'> =>
    float32([branches, samples, blockSize, tokenSize(config)], data);

  function requireOpen(): void {
    if (disposed) throw new DeviceError('sample: the sampler was disposed; create another');
  }

  async function runPass(
    denoising: readonly DenoiseJob[],
    appending: readonly AppendJob[],
    mayStop: () => void = () => {},
  ): Promise<PassResults> {
    requireOpen();
    mayStop();
    if (wholeSteps && denoising.length === 1 && appending.length === 0) {
      const part = parts.denoise(denoising[0]);
      return { noise: [noiseOf(part, await wholeSteps.predict(part))], caches: [] };
    }
    const inProgress = inOrder(denoising.map(parts.denoise));
    const noised = groupsOf(inProgress);
    const finished = inOrder(appending.map(parts.append), noised);
    const placed = [...inProgress, ...finished];
    const room = workspaceFor(groupsOf(placed));
    const attending = <Part extends PassPart>({ part, start }: Placed<Part>): Attending<Part> => ({
      part,
      rows: attentionRows(room, start, start + part.groups),
    });
    const attentions = [
      ...(await attention.denoise(inProgress.map(attending))),
      ...(await attention.append(finished.map(attending))),
    ];
    fillPlaces(room, placed);
    for (let layer = 0; layer < layers; layer++) {
      mayStop();
      fillModulation(room.modulations[layer % 2], placed, layer);
      await beginLayer(layer, room);
      for (const attend of attentions) await attend(layer);
    }
    const caches = finished.map(({ part }) => part.extended);
    if (noised === 0) return { noise: [], caches };
    fillModulation(room.finalModulation, inProgress, layers);
    const predicted = await predictNoise(room, noised);
    const noise = inProgress.map(({ part, start }) =>
      noiseOf(part, rowsOf(predicted, start, start + part.groups)),
    );
    return { noise, caches };
  }

  const pass: Trunk['pass'] = (...jobs) => turn(() => runPass(...jobs));

  return {
    config,
    async modulations(conditions) {
      requireOpen();
      return modulationPrograms.compute(conditions);
    },
    async denoise(latents, conditions, table, cache, signal) {
      const { noise } = await pass([{ latents, conditions, table, cache }], [], () =>
        signal?.throwIfAborted(),
      );
      return noise[0];
    },
    async append(latents, cache, signal) {
      const { caches } = await pass([], [{ latents, cache }], () => signal?.throwIfAborted());
      return caches[0];
    },
    pass,
    mayShare: (denoising, appending) =>
      turn(async () => {
        requireOpen();
        if (device.separateMemory) return true;
        const noised = denoising.reduce((sum, { conditions }) => sum + conditions.length, 0);
        const finished = appending.reduce((sum, { latents }) => sum + latents.shape[0], 0);
        for (const [i, check] of checks.entries()) {
          const groups = i === checks.length - 1 ? noised : noised + finished;
          if (groups > 0 && !(await check(groups))) return false;
        }
        return true;
      }),

    async slide({ blocks: before, values, plainKeys }) {
      if (!plainKeys) throw new ArgumentError('slide: the cache keeps no keys before rotation');
      const blocks = before - 1;
      const shorter = (layer: readonly Tensor<'float32'>[]): Tensor<'float32'>[] =>
        withoutOldest(config, layer);
      const plain = plainKeys.map(shorter);
      const keys: Tensor<'float32'>[][] = [];
      for (const layer of blocks > 0 ? plain : []) keys.push(await Promise.all(layer.map(attention.rotate)));
      return { blocks, keys, values: values.map(shorter), plainKeys: plain };
    },

    dispose() {
      disposed = true;
      return turn(async () => {
        await modulationPrograms.dispose();
        for (const segment of segments) await segment.dispose();
        await attention.dispose();
        await wholeSteps?.dispose();
      });
    },
  };
}

/** Tensors under the names that segments have for those of a layer. */
function ofLayer(layer: number, tensors: Feeds): Feeds {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [numbered(name, layer), value]));
}

/** A part, and the number of its first group in the pass. */
interface Placed<Part extends PassPart = PassPart> {
  readonly part: Part;
  readonly start: number;
}

/** Parts one behind the other, from group number `first` on. */
function inOrder<Part extends PassPart>(parts: readonly Part[], first = 0): Placed<Part>[] {
  let next = first;
  return parts.map((part) => {
    const start = next;
    next += part.groups;
    return { part, start };
  });
}

function groupsOf(placed: readonly Placed[]): number {
  return placed.reduce((sum, { part }) => sum + part.groups, 0);
}

/** Tokens of all groups, and where they are. */
function fillPlaces({ tokens, cos, sin }: Workspace, placed: readonly Placed[]): void {
  for (const { part, start } of placed) {
    const perGroup = elementCount(tokens.shape.slice(1));
    for (let offset = 0; offset < part.groups * perGroup; offset += part.tokens.length) {
      tokens.data.set(part.tokens, start * perGroup + offset);
    }
    for (let group = start; group < start + part.groups; group++) {
      cos.data.set(part.places.cos.data, group * part.places.cos.data.length);
      sin.data.set(part.places.sin.data, group * part.places.sin.data.length);
    }
  }
}

/** A layer's modulations of all groups. */
function fillModulation({ shape, data }: Tensor<'float32'>, placed: readonly Placed[], layer: number): void {
  const size = elementCount(shape.slice(1));
  for (const { part, start } of placed) {
    for (let group = 0; group < part.groups; group++) {
      data.set(part.modulation(layer, group), (start + group) * size);
    }
  }
}
