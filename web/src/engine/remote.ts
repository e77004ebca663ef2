/** @file Sampling on a server, `acdit serve`: the events of one request, as they arrive. */

import { attentionOf } from '../../../src/models/acdit/attention.ts';
import { className } from '../../../src/models/acdit/class-names.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { EncodedTensor, ModelEntry, StreamEvent, StreamRequest } from '../../../src/server/api.ts';
import type { Engine, ModelCard, Order, Progress } from './engine.ts';
import { readServerEvents } from './server-events.ts';

/** @param base the server's address, with a slash at its end. */
export function createRemoteEngine(base: string): Engine {
  const configs = new Map<string, AcditConfig>();
  return {
    kind: 'remote',
    async models() {
      const answer = await fetch(`${base}v1/models`, { headers: { Accept: 'application/json' } });
      if (!answer.ok) return [];
      const { data } = (await answer.json()) as { data: ModelEntry[] };
      const cards = data.map(cardOf);
      for (const { id, config } of cards) configs.set(id, config);
      return cards;
    },

    async *sample(order: Order, signal: AbortSignal): AsyncGenerator<Progress> {
      yield { kind: 'loading' };
      const config = configs.get(order.model);
      const together = config !== undefined && attentionOf(config).together;
      const answer = await fetch(`${base}v1/acdit/stream`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
        body: JSON.stringify(requestOf(order, config)),
        signal,
      });
      if (!answer.ok || !answer.body) throw new Error(await refusalOf(answer));
      for await (const data of readServerEvents(answer.body)) {
        const progress = progressOf(JSON.parse(data) as StreamEvent, together);
        if (progress) yield progress;
      }
    },
  };
}

/** Keeps the server's models apart from those of the page, which may have the same names. */
const PREFIX = 'server/';

function cardOf({ id, config, fast_steps: fastSteps }: ModelEntry): ModelCard {
  return {
    id: PREFIX + id,
    title: id,
    source: 'server',
    config: config as unknown as AcditConfig,
    ...(fastSteps !== null && { fastSteps }),
  };
}

function requestOf(order: Order, config: AcditConfig | undefined): Partial<StreamRequest> {
  const { model, label, preset, steps, timesteps, cfg, seed, given } = order;
  return {
    model: model.slice(PREFIX.length),
    prompt: config && label === config.classes ? className(config, label) : label,
    preset,
    steps,
    timesteps,
    cfg_scale: cfg,
    seed,
    output_format: 'none',
    preview_every: 1,
    latents: true,
    ...(given && given.length > 0 && config && { given: encodeBlocks(given, config) }),
  };
}

function progressOf(event: StreamEvent, together: boolean): Progress | undefined {
  switch (event.type) {
    case 'started':
      return { kind: 'started', device: 'the server' };
    case 'preview':
      if (!event.latents) return undefined;
      return { kind: 'step', block: event.block, step: event.step, clean: decode(event.latents), together };
    case 'block':
      if (!event.latents) return undefined;
      return { kind: 'block', block: event.block, given: event.given, values: decode(event.latents) };
    case 'done':
      return { kind: 'done', seconds: event.seconds };
    case 'error':
      throw new Error(event.error.message);
    default:
      return undefined;
  }
}

/** What the server says is wrong. */
async function refusalOf(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    return (JSON.parse(text) as { error: { message: string } }).error.message;
  } catch {
    return `the server answers with status ${answer.status}`;
  }
}

function decode({ data }: EncodedTensor): Float32Array {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Blocks as (1, K, B, C). */
function encodeBlocks(values: Float32Array, { blockSize, channels, patch }: AcditConfig): EncodedTensor {
  const tokenSize = channels * patch ** 2;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return { shape: [1, values.length / blockSize / tokenSize, blockSize, tokenSize], data: btoa(text) };
}
