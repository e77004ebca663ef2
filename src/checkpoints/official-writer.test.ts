import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formulaWeights, paperImageConfig } from '../../test/support/formula-weights.ts';
import { golden } from '../../test/support/golden.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { CheckpointError } from '../errors.ts';
import { openTorchCheckpoint, type TorchNamespace, type TorchValue } from '../formats/torch/checkpoint.ts';
import { openFile } from '../io/file-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { loadModel, openModel } from './load.ts';
import { CONFIG_ARGUMENT } from './official.ts';
import { officialArguments, officialLimits, saveOfficial } from './official-writer.ts';

async function openArguments(path: string): Promise<TorchNamespace['attributes']> {
  const { value, close } = await openTorchCheckpoint(await openFile(path));
  await close();
  return ((value as Map<string, TorchValue>).get('args') as TorchNamespace).attributes;
}

async function config(path: string): Promise<AcditConfig> {
  const model = await openModel(path);
  await model.archive.close();
  return model.config;
}

describe('officialArguments', () => {
  it.each(['image-tiny.pt', 'video-tiny.pt'])('are those of %s', async (name) => {
    const expected = await openArguments(golden(name));
    const { model: _, ...args } = Object.fromEntries(officialArguments(await config(golden(name))));
    const { model: __, ...official } = Object.fromEntries(expected);
    expect(args).toEqual(official);
  });

  it('name the sizes of the paper as the released code does', () => {
    for (const size of ['B', 'L', 'XL', 'H'] as const) {
      const args = officialArguments(paperImageConfig(size));
      expect(args.get('model')).toBe(`ACDiT-${size}`);
      expect(args.has(CONFIG_ARGUMENT)).toBe(false);
    }
    expect(officialArguments(tinyConfig()).get('model')).toBe('ACDiT-2x24');
  });

  it.each([
    [{ prediction: 'v' }, /cannot express this model's prediction \(v\)/],
    [{ noiseSchedule: 'cosine' }, /noiseSchedule \(cosine\)/],
    [{ noiseShift: 2 }, /noiseShift \(2\)/],
    [{ contextNoise: 10 }, /contextNoise \(10\)/],
    [{ attention: 'block-causal' }, /attention \(block-causal\); only a folder of acdit can hold it$/],
    [{ attention: { window: 2, sinks: 1 } }, /attention \(window of the last 2 blocks and first block\)/],
  ] as const)('cannot express %j', (changes, message) => {
    expect(() => officialArguments(tinyConfig(changes))).toThrow(message);
  });

  it('cannot represent images that are not square', () => {
    const wide = tinyConfig({ height: 4, width: 16, squareBlocks: false });
    expect(() => officialArguments(wide)).toThrow(CheckpointError);
    expect(() => officialArguments(wide)).toThrow(/square images only, and this one makes 4 x 16/);
  });
});

describe('saveOfficial', () => {
  const video = { frames: 4, blocks: 16, squareBlocks: false, positionSplit: [2, 1, 1] };
  const models: [string, Partial<AcditConfig>][] = [
    ['pixels', {}],
    ['latents', { space: 'latents', channels: 4 }],
    ['heads of 64', { space: 'latents', hidden: 64, heads: 1, mlpRatio: 4 }],
    ['names of classes', { space: 'latents', classNames: ['a', 'b', 'c'], guidance: 0 }],
    [
      'another autoencoder',
      { space: 'latents', downsampling: 16, autoencoder: { fingerprint: 'ab', scalingFactor: 0.5 } },
    ],
    ['a video', { space: 'latents', hidden: 48, ...video }],
    ['a video of the paper', { space: 'latents', hidden: 48, ...video, positionSplit: [2, 3, 3] }],
    ['runs of tokens', { squareBlocks: false }],
    ['an image with a time axis', { space: 'latents', positionSplit: [2, 1, 1], hidden: 48 }],
    ['an odd feed-forward size', { space: 'latents', mlpRatio: 7 / 3 }],
  ];

  it.each(models)('gives back %s', async (_, changes) => {
    const model = tinyConfig({ ...changes, ...(changes.hidden && { heads: changes.heads ?? 3 }) });
    const weights = formulaWeights(model);
    const path = join(temporaryFolder(), 'x.pt');
    await saveOfficial(path, model, weights);
    expect(await loadModel(path)).toEqual({ config: model, weights });
  });
});

describe('officialLimits', () => {
  it('are none for the models of the paper', () => {
    expect(officialLimits(paperImageConfig('XL'))).toEqual([]);
    const video: AcditConfig = {
      ...paperImageConfig('XL'),
      frames: 16,
      patch: 2,
      blockSize: 1024,
      classes: 101,
      squareBlocks: false,
      positionSplit: [2, 3, 3],
    };
    expect(officialLimits(video)).toEqual([]);
  });

  it('are what is to be changed in the official code', () => {
    const limits = officialLimits(tinyConfig()).join('\n');
    expect(limits).toContain("'ACDiT-2x24' with depth=2, hidden_size=24, num_heads=3, mlp_ratio=2");
    expect(limits).toContain('heads of 8 dimensions');
    expect(limits).toContain('num_classes=3');
    expect(limits).toContain('pixels');
    const other = { ...paperImageConfig('B'), squareBlocks: false, downsampling: 16 };
    expect(officialLimits(other)).toEqual([
      'put square_block=False into the sampling script',
      'divide image_size by 16 in sample_img.py, instead of 8',
    ]);
    expect(officialLimits({ ...paperImageConfig('B'), positionSplit: [2, 1, 1] })).toHaveLength(1);
  });
});
