import { afterAll, describe, expect, it } from 'vitest';
import { randomTensor } from '../../../test/support/evaluate.ts';
import { relativeError } from '../../../test/support/golden.ts';
import { tinyAutoencoder, tinyAutoencoderWeights } from '../../../test/support/tiny-autoencoder.ts';
import { ArgumentError, ConfigError, ShapeError } from '../../errors.ts';
import { openCpu } from '../../runtime/node.ts';
import { float32, zeros } from '../../tensor/tensor.ts';
import { type Autoencoder, type AutoencoderOptions, createAutoencoder } from './autoencoder.ts';
import type { AutoencoderConfig } from './config.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

function create(
  config: AutoencoderConfig = tinyAutoencoder,
  options: Partial<AutoencoderOptions> = {},
): Promise<Autoencoder> {
  const weights = tinyAutoencoderWeights(config);
  return createAutoencoder({ config, device, weights: async (name) => weights.get(name)!, ...options });
}

const images = randomTensor([3, 3, 14, 10], 1);
const latents = randomTensor([3, 4, 7, 5], 2);

describe('an autoencoder', () => {
  it.each<[string, Partial<AutoencoderConfig>]>([
    ['as it is', {}],
    [
      'without attention and the 1 x 1 convolutions',
      { midAttention: false, quantConv: false, postQuantConv: false },
    ],
    ['of one resolution', { blockChannels: [8] }],
    ['that shrinks its channels', { blockChannels: [16, 8, 4] }],
    ['of grey pictures and one group', { inChannels: 1, outChannels: 1, groups: 1 }],
  ])('%s, gives the same in strips and one by one', async (_, fields) => {
    const config = { ...tinyAutoencoder, ...fields };
    const factor = 2 ** (config.blockChannels.length - 1);
    const pictures = randomTensor([2, config.inChannels, 6 * factor, 5 * factor], 3);
    const code = randomTensor([2, 4, 7, 5], 4);
    const whole = await create(config);
    const striped = await create(config, { stripPixels: 1 });
    const encoded = await whole.encode(pictures);
    expect(encoded.mean.shape).toEqual([2, 4, 6, 5]);
    const inStrips = await striped.encode(pictures);
    expect(relativeError(inStrips.mean, encoded.mean)).toBeLessThan(1e-5);
    expect(relativeError(inStrips.logVariance, encoded.logVariance)).toBeLessThan(1e-5);
    const decoded = await whole.decode(code);
    expect(decoded.shape).toEqual([2, config.outChannels, 7 * factor, 5 * factor]);
    expect(relativeError(await striped.decode(code), decoded)).toBeLessThan(1e-5);
    const second = { dtype: 'float32', shape: [1, 4, 7, 5], data: code.data.slice(140) } as const;
    const alone = await whole.decode(second);
    expect(alone.data).toEqual(decoded.data.slice(decoded.data.length / 2));
  });

  it('leaves its input alone, and takes other sizes in between', async () => {
    const autoencoder = await create();
    const before = latents.data.slice();
    const first = await autoencoder.decode(latents);
    await autoencoder.decode(randomTensor([1, 4, 20, 3], 5));
    const [again, small] = await Promise.all([
      autoencoder.decode(latents),
      autoencoder.decode(randomTensor([1, 4, 1, 1], 6)),
    ]);
    expect(again).toEqual(first);
    expect(small.shape).toEqual([1, 3, 2, 2]);
    expect(latents.data).toEqual(before);
  });

  it('clamps log variances', async () => {
    const weights = tinyAutoencoderWeights(tinyAutoencoder);
    const bias = weights.get('quant_conv.bias')!;
    bias.data.set([0, 0, 0, 0, 1e3, -1e3, 0, 0]);
    const autoencoder = await create(tinyAutoencoder, { weights: async (name) => weights.get(name)! });
    const { logVariance } = await autoencoder.encode(images);
    expect([logVariance.data[0], logVariance.data[35]]).toEqual([20, -30]);
  });

  it('reports its progress, and stops when asked to', async () => {
    const autoencoder = await create();
    const shares: number[] = [];
    await autoencoder.decode(latents, { onProgress: (share) => void shares.push(share) });
    expect(shares).toEqual([...shares].sort((a, b) => a - b));
    expect(shares[shares.length - 1]).toBe(1);
    const controller = new AbortController();
    const stopped = autoencoder.decode(latents, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
    await expect(create(tinyAutoencoder, { signal: controller.signal })).rejects.toThrow('enough');
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'refuses images and latents with %s, naming its place, and works afterwards',
    async (value) => {
      const autoencoder = await create();
      const spoiled = ({ shape, data }: typeof images, at: readonly number[]): typeof images => {
        const values = data.slice();
        values[at.reduce((index, place, axis) => index * shape[axis] + place, 0)] = value;
        return float32(shape, values);
      };
      const [expectedMean, expectedImages] = [
        (await autoencoder.encode(images)).mean,
        await autoencoder.decode(latents),
      ];
      const encoding = autoencoder.encode(spoiled(images, [2, 1, 13, 9]));
      await expect(encoding).rejects.toThrow(ArgumentError);
      await expect(encoding).rejects.toThrow(`encode: images must be finite, got ${value} at [2,1,13,9]`);
      const decoding = autoencoder.decode(spoiled(latents, [0, 3, 0, 4]));
      await expect(decoding).rejects.toThrow(ArgumentError);
      await expect(decoding).rejects.toThrow(`decode: latents must be finite, got ${value} at [0,3,0,4]`);
      expect((await autoencoder.encode(images)).mean).toEqual(expectedMean);
      expect(await autoencoder.decode(latents)).toEqual(expectedImages);
    },
  );

  it('refuses what does not fit', async () => {
    const autoencoder = await create(tinyAutoencoder, { parts: ['decoder'] });
    await expect(autoencoder.encode(images)).rejects.toThrow(ArgumentError);
    await expect(autoencoder.encode(zeros('float32', [1, 3, 7, 8]))).rejects.toThrow(
      /multiples of 2, got 7 x 8/,
    );
    await expect(autoencoder.encode(zeros('float32', [1, 4, 8, 8]))).rejects.toThrow(
      /\[N, 3, height, width\]/,
    );
    for (const shape of [
      [1, 3, 8, 8],
      [4, 8, 8],
      [0, 4, 8, 8],
      [1, 4, 0, 8],
    ]) {
      await expect(autoencoder.decode(zeros('float32', shape))).rejects.toThrow(ShapeError);
    }
    await expect(create({ ...tinyAutoencoder, groups: 3 })).rejects.toThrow(ConfigError);
  });
});
