/** @file A sampler's events as images: the finished frames, and the block in progress as the network predicts it. */

import { at } from '../at.ts';
import type { Decoder } from '../decoding/decoder.ts';
import { yieldToEventLoop } from '../event-loop.ts';
import { framesOf, type Image } from '../media/pixels.ts';
import { streamFrames } from '../sampling/frames.ts';
import { planSampling, type SampleRequest, stepsOfSample } from '../sampling/request.ts';
import type { SampleEvent, Sampler } from '../sampling/sampler.ts';
import { createSketch, framesOfBlock, placeBlock, previewSteps, withBlock } from '../sampling/sketch.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What samples, and what decodes the samples. */
export interface Engine {
  readonly sampler: Pick<Sampler, 'config' | 'tuned' | 'sample'>;
  readonly decode: Decoder['decode'];
}

/** The samples of a request at one moment. */
export interface Snapshot {
  /** Passes done, of one sample. */
  readonly done: number;
  /** (N, T, B, C); 0 where a block has not begun. */
  readonly latents: Tensor<'float32'>;
  /** Frames of each sample. */
  readonly frames: readonly (readonly Image[])[];
  readonly finished: boolean;
}

/**
 * Samples, and yields how the samples look: `previews` times at equal distances, for videos also with each finished frame,
 * and at the end.
 */
export async function* snapshots(
  { sampler, decode }: Engine,
  request: SampleRequest,
  previews: number,
): AsyncGenerator<Snapshot, void, void> {
  const { config, sample } = sampler;
  const plan = planSampling(config, request);
  const total = stepsOfSample(plan);
  const shownAfter = previewSteps(total, previews);
  const latents = createSketch(config, plan.labels.length, plan.blocks);
  const finished: Image[][] = plan.labels.map(() => []);
  const decodeNow = (tokens: Tensor<'float32'>) => decode(tokens, { signal: request.signal });
  const preview = createPreview(async ({ block, clean, together }: StepEvent) => {
    const foreseen = withBlock(latents, block, clean);
    const { first, tokens } = together
      ? { first: 0, tokens: foreseen }
      : framesOfBlock(config, foreseen, block);
    const shown = framesOf(await decodeNow(tokens));
    // While earlier frames are still being decoded, later ones cannot be shown.
    if (at(finished, 0).length < first) return undefined;
    return {
      latents: foreseen,
      frames: finished.map((frames, n) => [...frames.slice(0, first), ...at(shown, n)]),
    };
  });
  let [steps, done] = [0, 0];
  for await (const event of streamFrames(config, sample(request), decodeNow)) {
    if (event.kind === 'step') {
      steps++;
      if (event.together) placeBlock(latents, event.block, event.clean);
      done += event.passes;
      const shown = await preview.next(shownAfter.includes(steps) && steps < total ? event : undefined);
      if (shown) yield { ...shown, done, finished: false };
    } else if (event.kind === 'block') {
      preview.drop();
      placeBlock(latents, event.block, event.latents);
    } else if (event.kind === 'frames') {
      for (const [n, images] of framesOf(event.frames).entries()) at(finished, n).push(...images);
      if (previews > 0 && config.frames > 1 && steps < total) {
        yield { latents, frames: finished.map((frames) => [...frames]), done, finished: false };
      }
    } else {
      yield { latents: event.latents, frames: finished, done, finished: true };
    }
  }
}

type StepEvent = SampleEvent & { readonly kind: 'step' };

/**
 * Makes previews while sampling continues, one at a time: where decoding takes longer than the steps between two of them,
 * there are fewer.
 */
function createPreview<Shown>(make: (event: StepEvent) => Promise<Shown | undefined>) {
  let making: Promise<void> | undefined;
  let ready: Shown | undefined;
  let failure: { readonly error: unknown } | undefined;
  /** Blocks that were finished: a preview of an earlier one is late. */
  let blocks = 0;
  return {
    /** Begins a preview of a step, if one is due. Returns the one that is ready, if any. */
    async next(event: StepEvent | undefined): Promise<Shown | undefined> {
      if (event && !making) {
        const block = blocks;
        making = make(event)
          .then((shown) => {
            if (block === blocks) ready = shown;
          })
          .catch((error) => {
            failure = { error };
          })
          .finally(() => {
            making = undefined;
          });
        // Pixels need no decoding, so they are ready at once.
        await Promise.race([making, yieldToEventLoop()]);
      }
      if (failure) throw failure.error;
      const shown = ready;
      ready = undefined;
      return shown;
    },
    drop(): void {
      blocks++;
      ready = undefined;
    },
  };
}
