/**
 * @file The finished blocks of samples in progress, which the next ones attend. Of a model with clean copies, all guidance
 * branches share one cache, since clean blocks see neither timestep nor label. Without copies, a finished block enters the
 * cache with the label of its branch, so each branch has its own.
 */

import { at, take } from '../at.ts';
import {
  attentionOf,
  type BlockAttention,
  finishedBlock,
  type SequenceBlock,
} from '../models/acdit/attention.ts';
import { joinAxis } from '../tensor/axes.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Cache, type CacheBlocks, EMPTY_CACHE, EMPTY_SLIDING_CACHE } from './cache.ts';
import { type Branch, finishedConditions, planBranches, stepBranches } from './guided.ts';
import type { Condition, ModulationTable } from './modulation-table.ts';
import type { NoisePredictor } from './noise-predictor.ts';
import type { Conditioned } from './pass-engine.ts';
import type { SamplePlan } from './request.ts';

/** Holds one cache: of the finished blocks those that the next or a later one attends. */
export class Context {
  readonly #predictor: NoisePredictor;
  readonly #attention: BlockAttention;
  readonly #window: number;
  #held: Cache;
  /** The numbers of the blocks that are held. */
  #blocks: readonly number[] = [];
  /** The number of the block that is next. */
  #next = 0;
  /** What the next block attends, if that is less than what is held. */
  #view: Cache | undefined;

  constructor(
    predictor: NoisePredictor,
    { window, slides }: { readonly window: number; readonly slides: boolean },
  ) {
    this.#predictor = predictor;
    this.#attention = attentionOf(predictor.config);
    this.#window = window;
    this.#held = slides ? EMPTY_SLIDING_CACHE : EMPTY_CACHE;
  }

  /** Returns what the next block attends. */
  async cache(): Promise<Cache> {
    this.#view ??= await this.#attendedBy({ block: this.#next, clean: false });
    return this.#view;
  }

  /**
   * Appends the next block (N, B, C), which is finished.
   * @param finished its conditions, in models without clean copies
   */
  async append(latents: Tensor<'float32'>, signal?: AbortSignal, finished?: Conditioned): Promise<void> {
    const block = this.#next;
    const kept = this.#attention.kept(block + 1, this.#window);
    if (!kept.includes(block)) return this.#advance([[this.#held, this.#blocks]], kept);
    const attended = await this.#attendedBy(finishedBlock(this.#attention, block));
    const isHeld = attended === this.#held;
    const extended = await this.#predictor.append(latents, attended, signal, finished).finally(() => {
      if (!isHeld) attended.dispose?.();
    });
    const seen = isHeld ? this.#blocks : Array<number>(extended.blocks - 1).fill(-1); // those are held as well
    const own: CacheOfBlocks = [extended, [...seen, block]];
    await this.#advance(isHeld ? [own] : [[this.#held, this.#blocks], own], kept);
  }

  /** Gives back the cache's memory. */
  dispose(): void {
    this.#dropView();
    this.#held.dispose?.();
  }

  /** Returns the cache of the blocks that a block attends: the one that is held, or another. */
  async #attendedBy(query: SequenceBlock): Promise<Cache> {
    const seen = this.#attention.before(query, this.#window);
    if (seen.length === this.#blocks.length) return this.#held;
    return this.#arranged([[this.#held, this.#blocks]], seen, this.#held.place);
  }

  /** Continues after the next block with the blocks of some caches that are still attended; other caches are disposed of. */
  async #advance(parts: readonly CacheOfBlocks[], kept: readonly number[]): Promise<void> {
    const next = this.#next + 1;
    const place = Math.min(next, this.#window);
    const places = next > place ? kept.map((block) => this.#placeOf(block, next)) : undefined;
    const [[first, blocks]] = take(parts, 1);
    const unchanged = parts.length === 1 && blocks.length === kept.length && !places;
    const arranged = unchanged ? placed(first, place) : await this.#arranged(parts, kept, place, places);
    this.#dropView();
    for (const cache of new Set([this.#held, ...parts.map(([cache]) => cache)])) {
      if (!(unchanged && cache === first)) cache.dispose?.();
    }
    this.#held = arranged;
    this.#blocks = kept;
    this.#next = next;
  }

  /** The position of a block once block `next` is beyond the last position: sinks stay, and the others move. */
  #placeOf(block: number, next: number): number {
    const sinks = Math.min(this.#attention.sinks, this.#window - 1);
    return block < sinks ? block : block - (next - this.#window);
  }

  /** Makes a cache of some blocks of others. */
  async #arranged(
    parts: readonly CacheOfBlocks[],
    wanted: readonly number[],
    place: number,
    places?: readonly number[],
  ): Promise<Cache> {
    const empty = this.#held.plainKeys ? EMPTY_SLIDING_CACHE : EMPTY_CACHE;
    if (wanted.length === 0) return { ...empty, place };
    const picked = parts.map(
      ([cache, blocks]): CacheBlocks => ({
        cache,
        blocks: wanted.map((block) => blocks.indexOf(block)).filter((index) => index >= 0),
      }),
    );
    return this.#predictor.arrange(
      picked.filter(({ blocks }) => blocks.length > 0),
      { place, places },
    );
  }

  #dropView(): void {
    if (this.#view !== this.#held) this.#view?.dispose?.();
    this.#view = undefined;
  }
}

/** Returns a cache as one of another place. */
function placed(cache: Cache, place: number): Cache {
  return cache.place === place ? cache : { ...cache, place };
}

/** A cache with the numbers of its blocks. */
type CacheOfBlocks = readonly [cache: Cache, blocks: readonly number[]];

/** How a step is guided, and what conditions its branches. */
export interface StepConditions extends Conditioned {
  readonly scale: number;
}

/** The contexts of samples in progress: one, or one per guidance branch. */
export interface Contexts {
  /** Predicts the noise of the next block (N, B, C), in the branches that the scale needs: (R, N, B, C). */
  denoise(latents: Tensor<'float32'>, step: StepConditions, signal?: AbortSignal): Promise<Tensor<'float32'>>;
  /**
   * Appends the next block (N, B, C), which is finished.
   * @param tableOf returns a table with the modulations of some conditions
   */
  append(
    latents: Tensor<'float32'>,
    tableOf: (conditions: readonly Condition[]) => Promise<ModulationTable>,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Gives back the caches' memory. */
  dispose(): void;
}

/** Makes the contexts of a plan, of all of its samples or of a batch of them. */
export function createContexts(
  predictor: NoisePredictor,
  plan: SamplePlan,
  [start, end]: readonly [start: number, end: number] = [0, plan.labels.length],
): Contexts {
  const batch = { ...plan, labels: plan.labels.slice(start, end) };
  return attentionOf(predictor.config).copies || attentionOf(predictor.config).together
    ? sharedContext(predictor, batch)
    : branchContexts(predictor, batch);
}

function sharedContext(predictor: NoisePredictor, plan: SamplePlan): Contexts {
  const context = new Context(predictor, plan);
  return {
    async denoise(latents, { conditions, table }, signal) {
      return predictor.denoise(latents, conditions, table, await context.cache(), signal);
    },
    append: (latents, _, signal) => context.append(latents, signal),
    dispose: () => context.dispose(),
  };
}

function branchContexts(predictor: NoisePredictor, plan: SamplePlan): Contexts {
  const branches = planBranches(plan);
  const contexts = new Map(branches.map((branch) => [branch, new Context(predictor, plan)]));
  const contextOf = (branch: Branch): Context => {
    const context = contexts.get(branch);
    if (context) return context;
    throw new RangeError(`the plan has no ${branch} branch`);
  };
  let block = 0;
  return {
    async denoise(latents, { conditions, table, scale }, signal) {
      const samples = at(latents.shape, 0);
      const parts = stepBranches(scale).map(async (branch, i) => {
        const own = conditions.slice(i * samples, (i + 1) * samples);
        const cache = await contextOf(branch).cache();
        return predictor.denoise(latents, own, table, cache, signal);
      });
      return joinAxis(await allEnded(parts), 0);
    },
    async append(latents, tableOf, signal) {
      const conditions = branches.map((branch) => finishedConditions(predictor.config, plan, block, branch));
      const table = await tableOf(conditions.flat());
      const parts = branches.map((branch, i) =>
        contextOf(branch).append(latents, signal, { conditions: at(conditions, i), table }),
      );
      await allEnded(parts);
      block++;
    },
    dispose: () => {
      for (const context of contexts.values()) context.dispose();
    },
  };
}

/** Waits for the work of all branches, also if one fails: only then can their caches be given back. */
async function allEnded<T>(work: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
