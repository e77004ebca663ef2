/** @file The finished blocks of a sample in progress, which the next ones attend. */

import type { Tensor } from '../tensor/tensor.ts';
import { type Cache, EMPTY_CACHE, EMPTY_SLIDING_CACHE } from './cache.ts';
import type { NoisePredictor } from './noise-predictor.ts';

/** Holds the cache of a sample, with the last `window` finished blocks at most. */
export class Context {
  readonly #predictor: NoisePredictor;
  readonly #window: number;
  #cache: Cache;

  constructor(
    predictor: NoisePredictor,
    { window, slides }: { readonly window: number; readonly slides: boolean },
  ) {
    this.#predictor = predictor;
    this.#window = window;
    this.#cache = slides ? EMPTY_SLIDING_CACHE : EMPTY_CACHE;
  }

  get cache(): Cache {
    return this.#cache;
  }

  /** Appends a finished block (N, B, C). */
  async append(latents: Tensor<'float32'>, signal?: AbortSignal): Promise<void> {
    this.#replace(await this.#predictor.append(latents, this.#cache, signal));
    if (this.#cache.blocks > this.#window) this.#replace(await this.#predictor.slide(this.#cache));
  }

  /** Gives back the cache's memory. */
  dispose(): void {
    this.#cache.dispose?.();
  }

  #replace(next: Cache): void {
    this.#cache.dispose?.();
    this.#cache = next;
  }
}
