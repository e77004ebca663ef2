/** The model code of the web app. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AttentionSetting } from '../src/models/acdit/attention.ts';
import { type AcditConfig, canExtend } from '../src/models/acdit/config.ts';
import { planSampling } from '../src/sampling/request.ts';
import { encodeTensor } from '../src/server/pictures.ts';
import { float32 } from '../src/tensor/tensor.ts';
import type { Progress } from '../web/src/engine/engine.ts';
import { createRemoteEngine } from '../web/src/engine/remote.ts';
import { canCompare } from '../web/src/model/ar-lengths.ts';
import { attendedBlocks, describeAttention } from '../web/src/model/plan.ts';
import { advance, shareDone, startRun } from '../web/src/model/run.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

const identity = { noised: ['1000', '0100', '0010', '0001'] };

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('the web app', () => {
  it.each<[AttentionSetting, boolean]>([
    ['skip-causal', true],
    ['block-causal', true],
    [{ window: 1 }, true],
    ['full', false], // the network sees no blocks
    [identity, false],
  ])('compares numbers of blocks of a model with attention %j: %j', (attention, expected) => {
    const config = { ...tinyConfig(), attention };
    expect(canCompare({ id: 'own', title: 'own', source: 'yours', config })).toBe(expected);
  });

  it.each<[AttentionSetting, block: number, text: string]>([
    ['skip-causal', 0, 'Block 1 attends to itself only: nothing is finished yet.'],
    ['skip-causal', 3, 'Block 4 attends to itself and the finished blocks 1 to 3.'],
    [{ window: 1, sinks: 1 }, 3, 'Block 4 attends to itself and the finished blocks 1, 3.'],
    ['full', 1, 'Block 2 attends to itself and all others, which are made together.'],
    ['full', 3, 'Block 4 attends to itself and all others, which are made together.'],
    [identity, 0, 'Block 1 attends to itself only: nothing is finished yet.'],
    [identity, 3, 'Block 4 attends to itself only.'],
  ])('describes attention %j of block %d', (attention, block, text) => {
    const model = { blocks: 4, attention };
    expect(describeAttention(block, model)).toBe(text);
  });

  it.each<[object, boolean]>([
    [tinyClips, true],
    [{ ...tinyClips, attention: 'block-causal' }, true],
    [{ ...tinyClips, attention: { window: 1 } }, true],
    [{ ...tinyClips, attention: 'full' }, false],
    [{ ...tinyClips, attention: identity }, false],
    [{ ...tinyClips, blocks: 1, blockSize: 32 }, false],
    [tinyConfig(), false],
  ])('continues videos where sampling can: %j', (config, expected) => {
    const model = config as AcditConfig;
    const plan = () => planSampling(model, { labels: [0], blocks: model.blocks + 1 });
    expect(canExtend(model)).toBe(expected);
    if (expected) plan();
    else expect(plan).toThrow('blocks must be');
  });

  it.each<[AttentionSetting, expected: number[]]>([
    ['skip-causal', [5, 6, 7]],
    [{ window: 2 }, [6, 7]],
    [{ window: 1, sinks: 1 }, [0, 7]],
  ])('plans a longer video with attention %j as it is sampled', (attention, expected) => {
    expect(attendedBlocks(8, { blocks: 9, attention, window: 3 })).toEqual(expected);
  });

  it.each<[AttentionSetting, share: number]>([
    ['skip-causal', (0 + 1 / 2) / 4],
    ['full', 1 / 2],
  ])('shows the share of the steps that are done with attention %j', (attention, share) => {
    const run = startRun({ model: 'own', label: 0, seed: 1, steps: 2 }, { ...tinyConfig(), attention });
    const clean = new Float32Array(1);
    expect(shareDone(advance(run, { kind: 'step', block: 0, step: 1, clean, together: true }))).toBe(share);
  });

  it('shows all blocks that a server makes together', async () => {
    const config = { ...tinyConfig(), attention: 'full' as const };
    const previews = [0, 1].map((block) => {
      const latents = encodeTensor(float32([1, 1, 1], [block]));
      return `data: ${JSON.stringify({ type: 'preview', block, step: 1, latents })}\n\n`;
    });
    vi.stubGlobal('fetch', async (url: string) =>
      url.endsWith('models')
        ? Response.json({ data: [{ id: 'own', config, fast_steps: null }] })
        : new Response(previews.join('')),
    );
    const engine = createRemoteEngine('http://localhost/');
    const [card] = await engine.models();
    const order = { model: card!.id, label: 0, seed: 1, steps: 2 };
    const events: Progress[] = [];
    for await (const event of engine.sample(order, new AbortController().signal)) events.push(event);
    const { live } = events.reduce(advance, startRun(order, config));
    expect(live).toEqual({
      block: 1,
      values: new Float32Array([1]),
      others: { 0: new Float32Array([0]) },
    });
  });
});
