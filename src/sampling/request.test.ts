import { describe, expect, it } from 'vitest';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { ArgumentError } from '../errors.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { planSampling, type SampleRequest } from './request.ts';

describe('planSampling', () => {
  it('draws noise from seed 42 unless another is given, for each sample by its number', () => {
    const { noise } = planSampling(tinyPixels, { labels: [0, 1] });
    const [{ shape, data }] = noise;
    const values = shape[1] * shape[2];
    for (const sample of [0, 1]) {
      const drawn = Generator.seeded(42, sample).randn(tinyPixels.blocks * values);
      expect(data.slice(sample * values, (sample + 1) * values)).toEqual(drawn.slice(0, values));
    }
    expect(planSampling(tinyPixels, { labels: [0, 1], seed: 0 }).noise).not.toEqual(noise);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses noise and given blocks with %s in it', (value) => {
    const { noise } = planSampling(tinyPixels, { labels: [0, 1] });
    const inner = noise[0].shape.slice(1);
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
    expect(plan({ given })).toThrow(`sample: given blocks must be finite, got ${value} at [0,0,0,0]`);
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
