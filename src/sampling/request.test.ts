import { describe, expect, it } from 'vitest';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { ArgumentError } from '../errors.ts';
import { tokenSize } from '../models/acdit/config.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { planSampling, type SampleRequest, startingNoise } from './request.ts';

describe('planSampling', () => {
  it('draws noise from seed 42 unless another is given, for each sample by its number', () => {
    const noiseOf = (request: Partial<SampleRequest>) =>
      startingNoise(tinyPixels, planSampling(tinyPixels, { labels: [0, 1], ...request }));
    const noise = noiseOf({});
    const values = elementCount(noise.shape) / 2;
    for (const sample of [0, 1]) {
      const drawn = Generator.seeded(42, sample).randn(values);
      expect(noise.data.slice(sample * values, (sample + 1) * values)).toEqual(drawn);
    }
    expect(noiseOf({ seed: 0 })).not.toEqual(noise);
    expect(noiseOf({ labels: [0], first: 1 }).data).toEqual(noise.data.slice(values));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses noise and given blocks with %s in it', (value) => {
    const inner = [tinyPixels.blockSize, tokenSize(tinyPixels)];
    const blocks = (count: number): Tensor<'float32'> => {
      const shape = [2, count, ...inner];
      return float32(shape, new Float32Array(elementCount(shape)));
    };
    const [starting, given] = [blocks(tinyPixels.blocks), blocks(1)];
    expect(() => planSampling(tinyPixels, { labels: [0, 1], noise: starting, given })).not.toThrow();
    starting.data[starting.data.length - 1] = value;
    const last = [1, tinyPixels.blocks - 1, ...inner.map((size) => size - 1)];
    const plan = (request: object) => () => planSampling(tinyPixels, { labels: [0, 1], ...request });
    expect(plan({ noise: starting })).toThrow(`sample: noise must be finite, got ${value} at [${last}]`);
    given.data[0] = value;
    expect(plan({ given })).toThrow(`sample: given must be finite, got ${value} at [0,0,0,0]`);
  });
});

describe('the error of a request', () => {
  const wide = { shape: [1, 1, 1, 1], data: new Float32Array(1) };
  it.each([
    ['labels', { labels: [] }],
    ['labels', { labels: [4] }],
    ['labels', { labels: [[0, 1]] }],
    ['steps', { steps: 0 }],
    ['steps', { steps: 1001 }],
    ['steps', { steps: [5, 5, 5] }],
    ['cfg', { cfg: -1 }],
    ['solver', { solver: 'euler' }],
    ['seed', { seed: 0.5 }],
    ['first', { first: Number.NaN }],
    ['blocks', { blocks: 5 }],
    ['window', { window: 4 }],
    ['noise', { noise: wide }],
    ['given', { given: wide }],
  ])('names the field %s: %j', (name, wrong) => {
    const plan = () => planSampling(tinyPixels, { labels: [0], ...wrong } as SampleRequest);
    expect(plan).toThrow(expect.objectContaining({ field: name, problem: expect.stringMatching(/^must /) }));
    expect(plan).toThrow(`sample: ${name} must `);
  });
});

describe('labels', () => {
  it.each([
    [{ labels: ['1'] }, "class numbers, such as [0, 3], got '1'; findClass"],
    [{ labels: [['0', '0', '0', '0']] }, "class numbers, such as [0, 3], got '0'; findClass"],
    [{ labels: '1' }, "class numbers, such as [0, 3], got '1'; findClass"],
    [{ labels: undefined }, 'class numbers, such as [0, 3], got undefined; findClass'],
    [{ labels: [null] }, 'class numbers, such as [0, 3], got null; findClass'],
    [{ labels: [0], cfg: '2' }, 'cfg must be a number or a list of one per block, got 2'],
  ])('that are not class numbers are refused: %j', (request, message) => {
    const plan = () => planSampling(tinyPixels, request as unknown as SampleRequest);
    expect(plan).toThrow(ArgumentError);
    expect(plan).toThrow(message);
  });
});
