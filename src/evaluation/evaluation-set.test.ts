import { afterAll, describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { openCpu } from '../runtime/node.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import { evaluate } from './evaluate.ts';
import { type EvaluationSet, requireSameNetwork } from './evaluation-set.ts';
import { completeSet } from './extract.ts';
import type { FeatureNetwork } from './feature-network.ts';
import type { SampleSource } from './sample-source.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const set = (name: string, rest: Partial<EvaluationSet>): EvaluationSet => ({
  name,
  network: 'net',
  features: float32([4, 2], [1, 2, 3, 5, 4, 1, 0, 2]),
  ...rest,
});

describe('features of two sets', () => {
  it.each([
    [
      'weights',
      'aa',
      'bb',
      /b: the weights, by their fingerprint, of its features is bb, and of a aa; compute/,
    ],
    [
      'batchNormEpsilon',
      0.001,
      0.00001,
      /b: the epsilon of the network's batch norms of its features is 0.00001/,
    ],
    [
      'resize',
      'tensorflow',
      'pytorch',
      /b: the way of resizing frames of its features is pytorch, and of a tensorflow/,
    ],
  ])('are refused if %s differs', async (key, before, now, message) => {
    const [a, b] = [set('a', { protocol: { [key]: before } }), set('b', { protocol: { [key]: now } })];
    expect(() => requireSameNetwork(a, b)).toThrow(ArgumentError);
    await expect(evaluate(device, a, b)).rejects.toThrow(message);
    await expect(evaluate(device, a, a)).resolves.toMatchObject({ frechetDistance: 0 });
    // A file of another program does not say.
    await expect(evaluate(device, a, set('b', { protocol: undefined }))).resolves.toBeDefined();
  });

  it('are only warned of if clips were chosen in another way', async () => {
    const warnings: string[] = [];
    const [a, b] = [16, 32].map((framesPerClip) => set('s', { protocol: { framesPerClip } }));
    await evaluate(device, a, b, { onWarning: (message) => warnings.push(message) });
    expect(warnings.join()).toMatch(/were prepared in different ways: framesPerClip 16 and 32/);
  });

  it('are not computed where stored statistics are of another network or other weights', async () => {
    const source: SampleSource = {
      name: 'images.npz',
      count: 1,
      shape: [1, 1, 1],
      async *batches() {
        yield tensor('uint8', [1, 1, 1, 1], Uint8Array.of(7));
      },
      async close() {},
    };
    const network: FeatureNetwork = {
      name: 'net',
      protocol: { weights: 'aa' },
      channels: 1,
      batchSize: 1,
      extract: () => Promise.reject(new Error('must not be asked')),
      async dispose() {},
    };
    const gaussian = { mean: new Float64Array(2), covariance: new Float64Array(4) };
    const complete = (stored: Partial<EvaluationSet>) =>
      completeSet(device, network, {
        kind: 'images',
        images: source,
        stored: set('s', { gaussian, ...stored }),
      });
    await expect(complete({ network: 'other' })).rejects.toThrow(
      /images.npz: its features are of the network 'net', but those of the statistics in images.npz are of 'other'/,
    );
    await expect(complete({ protocol: { weights: 'bb' } })).rejects.toThrow(
      /is aa, and of the statistics in images.npz bb/,
    );
  });
});
