/** The model code of the web app. */

import { describe, expect, it } from 'vitest';
import type { AttentionSetting } from '../src/models/acdit/attention.ts';
import { canCompare } from '../web/src/model/ar-lengths.ts';
import { describeAttention } from '../web/src/model/plan.ts';
import { tinyConfig } from './support/tiny-config.ts';

const identity = { noised: ['1000', '0100', '0010', '0001'] };

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
});
