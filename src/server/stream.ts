/** @file `POST /v1/acdit/stream`: blocks as they are finished, and the one in progress as it is foreseen. */

import type { Hono } from 'hono';
import { frameCount } from '../models/acdit/config.ts';
import { passesOfBlocks, untrainedNote } from '../sampling/request.ts';
import type { SampleEvent } from '../sampling/sampler.ts';
import { createSketch, placeBlock, withBlock } from '../sampling/sketch.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type EncodedTensor,
  PATHS,
  type StreamEvent,
  type StreamRequest,
  streamRequestSchema,
} from './api.ts';
import { readBody } from './body.ts';
import type { ServerContext } from './context.ts';
import { eventStream } from './events.ts';
import { type GenerationEvent, generate, type Job } from './generation.ts';
import { findModel, sizeName } from './models.ts';
import { encodePictures, encodeTensor, type Pictures } from './pictures.ts';
import { invalid } from './problems.ts';
import { planRequest } from './sampling-request.ts';

interface StreamJob extends Job {
  readonly body: StreamRequest;
  /** Aborted when the client no longer waits. */
  readonly client: AbortSignal;
}

export function streamRoutes(app: Hono, context: ServerContext): void {
  const { models, limits } = context;
  app.post(PATHS.stream, async (c) => {
    const body = await readBody(c, streamRequestSchema, {
      limit: limits.body,
      givenLimit: limits.givenBody,
    });
    const model = findModel(models, body.model);
    const job = {
      model,
      body,
      request: planRequest(model.config, promptsOf(body), body, limits, model.tuned),
    };
    return eventStream(c, context, (client) =>
      streamEvents({ ...job, client }, generate(context, job, client)),
    );
  });
}

function promptsOf({ prompt, prompts, n }: StreamRequest): NonNullable<StreamRequest['prompts']> {
  if ((prompt === undefined) === (prompts === undefined)) {
    invalid('prompt', 'give either prompt or prompts');
  }
  return prompts ?? Array<NonNullable<typeof prompt>>(n).fill(prompt!);
}

async function* streamEvents(
  job: StreamJob,
  events: AsyncIterable<GenerationEvent>,
): AsyncGenerator<StreamEvent, void, void> {
  const { model, request } = job;
  const sketch = createSketch(model.config, request.labels.length, request.blocks);
  const previews = createPreviews(job, sketch);
  let began = performance.now();
  let done = 0;
  for await (const event of events) {
    if (event.kind === 'wait') yield { type: 'queued', ahead: event.ahead };
    if (event.kind === 'start') {
      began = performance.now();
      yield started(job);
    }
    if (event.kind === 'step') {
      const { block, step, steps, passes } = event;
      if (event.together) placeBlock(sketch, block, event.clean);
      yield { type: 'step', block, step, steps, passes, done: ++done, total: request.totalSteps };
      yield* previews.take();
      previews.offer(event);
    }
    if (event.kind === 'block') {
      await previews.drop();
      placeBlock(sketch, event.block, event.latents);
      const { block, given = false, latents } = event;
      yield { type: 'block', block, given, ...(await shown(job, latents, sketch, block)) };
    }
    if (event.kind === 'done') {
      const { latents } = event;
      const tokens = model.config.frames === 1 ? latents : undefined;
      const seconds = (performance.now() - began) / 1000;
      yield { type: 'done', ...(await shown(job, latents, tokens)), seed: request.seed, seconds };
    }
  }
}

function started({ model, body, request }: StreamJob): StreamEvent {
  const { labels, notes, blocks, steps, guidance, seed, given, totalSteps } = request;
  return {
    type: 'started',
    model: model.id,
    samples: labels.length,
    blocks,
    given: given?.shape[1] ?? 0,
    steps: [...steps],
    total_steps: totalSteps,
    labels: labels.map((ofBlocks) => [...ofBlocks]),
    cfg_scale: [...guidance.scale],
    guidance_interval: guidance.interval ? [...guidance.interval] : null,
    passes: passesOfBlocks(request),
    seed,
    size: sizeName(model.config),
    frames: frameCount(model.config, blocks),
    untrained: untrainedNote(model.config, request) ?? null,
    notes: [...notes],
    output_format: body.output_format,
  };
}

/**
 * What an event shows of the samples, if the client wants it.
 * @param tokens (N, T, B, C) of the images, or of those in which `block` lies
 */
async function shown(
  { model, body, client: signal }: StreamJob,
  latents: Tensor<'float32'>,
  tokens: Tensor<'float32'> | undefined,
  block?: number,
): Promise<Partial<Pictures> & { latents?: EncodedTensor }> {
  const fields = body.latents ? { latents: encodeTensor(latents) } : {};
  const { output_format: format } = body;
  if (format === 'none' || !tokens) return fields;
  return { ...(await encodePictures(model, tokens, { format, signal, block })), ...fields };
}

/**
 * Previews are made during the sampling, one at a time: where decoding takes longer than the steps between two
 * previews, there are fewer of them.
 */
function createPreviews(job: StreamJob, sketch: Tensor<'float32'>) {
  const { preview_every } = job.body;
  const ready: StreamEvent[] = [];
  let making: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;

  async function make({ block, step, clean }: SampleEvent & { kind: 'step' }): Promise<void> {
    const tokens = withBlock(sketch, block, clean);
    ready.push({ type: 'preview', block, step, ...(await shown(job, clean, tokens, block)) });
  }

  return {
    /** Begin a preview, if it is time for one. Nobody needs one of the last step: the block itself follows. */
    offer(event: SampleEvent & { kind: 'step' }): void {
      const { step, steps } = event;
      if (making || preview_every === 0 || step % preview_every !== 0 || step === steps) return;
      making = make(event)
        .catch((error) => {
          failure = { error };
        })
        .finally(() => {
          making = undefined;
        });
    },
    /** The previews that are ready. */
    take(): StreamEvent[] {
      if (failure) throw failure.error;
      return ready.splice(0);
    },
    /** What is not sent by now is late. */
    async drop(): Promise<void> {
      await making;
      ready.length = 0;
    },
  };
}
