import { describe, expect, it } from 'vitest';
import { stableDiffusionAutoencoder } from '../../test/support/formula-weights.ts';
import { tinyLatents, tinyPixels } from '../../test/support/tiny-model.ts';
import { ConfigError } from '../errors.ts';
import { type AcditConfig, validateConfig } from '../models/acdit/config.ts';
import { patchify } from '../models/acdit/layout.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { checkAutoencoder, latentsToImages } from './latents-to-images.ts';

const config = { ...stableDiffusionAutoencoder, scalingFactor: 0.5 };

describe('latentsToImages', () => {
  it('undoes patches and scale, and gives each frame to the decoder as an image', async () => {
    const clip: AcditConfig = validateConfig({
      ...tinyLatents,
      frames: 2,
      blocks: 2,
      blockSize: 16,
      squareBlocks: false,
      positionSplit: [2, 1, 1],
    });
    const shape = [3, 2, 4, 8, 8];
    const pictures = float32(
      shape,
      Float32Array.from({ length: elementCount(shape) }, (_, i) => i % 1009),
    );
    const given: Tensor[] = [];
    const decode = async (latents: Tensor<'float32'>): Promise<Tensor<'float32'>> => {
      given.push(latents);
      return float32(
        [6, 3, 1, 1],
        Float32Array.from({ length: 18 }, (_, i) => i / 4 - 2),
      );
    };
    const images = await latentsToImages({ config, decode }, clip, patchify(clip, pictures));
    expect(given).toEqual([
      float32(
        [6, 4, 8, 8],
        pictures.data.map((value) => value * 2),
      ),
    ]);
    expect(images.shape).toEqual([3, 2, 3, 1, 1]);
    expect([...images.data].slice(2, 14)).toEqual([-1, -1, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1]);
  });
});

describe('checkAutoencoder', () => {
  it("takes the paper's", () => {
    expect(() => checkAutoencoder(tinyLatents, config)).not.toThrow();
    expect(() =>
      checkAutoencoder({ ...tinyLatents, downsampling: 4 }, { ...config, blockChannels: [128, 256, 512] }),
    ).not.toThrow();
  });

  it.each([
    [tinyPixels, config, /space is pixels/],
    [tinyLatents, { ...config, latentChannels: 16 }, /channels: 4, the autoencoder's 16/],
    [tinyLatents, { ...config, blockChannels: [128, 256, 512] }, /side 8, the autoencoder's 4/],
    [{ ...tinyLatents, downsampling: 16 }, config, /side 16, the autoencoder's 8/],
    [tinyLatents, { ...config, outChannels: 1 }, /channels: 3, the autoencoder's 1/],
  ])('refuses what does not fit', (model, autoencoder, message) => {
    expect(() => checkAutoencoder(model, autoencoder)).toThrow(ConfigError);
    expect(() => checkAutoencoder(model, autoencoder)).toThrow(message);
  });
});
