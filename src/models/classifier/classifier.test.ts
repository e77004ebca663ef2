import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError, ShapeError } from '../../errors.ts';
import { openCpu } from '../../runtime/node.ts';
import { Generator } from '../../tensor/generator.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import {
  type ClassifierConfig,
  classifierParameters,
  compileClassifier,
  initializeClassifier,
  predictedClasses,
  validateClassifier,
} from './classifier.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const config: ClassifierConfig = {
  modelType: 'classifier',
  name: 'tiny',
  classNames: ['a', 'b', 'c'],
  channels: 1,
  imageSize: 8,
  widths: [2, 3],
};

/** A strided or plain 3 x 3 convolution in a plain loop, with zeros around; (C, S, S). */
function convolve(x: number[][][], weight: Tensor<'float32'>, bias: Tensor<'float32'>, stride: number) {
  const [outputs, inputs] = weight.shape;
  const size = x[0].length / stride;
  const at = (o: number, row: number, column: number): number => {
    let sum = bias.data[o];
    for (let i = 0; i < inputs; i++) {
      for (let k = 0; k < 9; k++) {
        const [y, z] = [row * stride + Math.floor(k / 3) - 1, column * stride + (k % 3) - 1];
        sum += (x[i][y]?.[z] ?? 0) * weight.data[(o * inputs + i) * 9 + k];
      }
    }
    return sum;
  };
  const range = Array.from({ length: size }, (_, i) => i);
  return Array.from({ length: outputs }, (_, o) =>
    range.map((row) => range.map((column) => at(o, row, column))),
  );
}

describe('a classifier', () => {
  it('computes strided convolutions, residual ones, the mean and a linear layer', async () => {
    const generator = new Generator(3);
    const weights = new Map(
      [...initializeClassifier(config, generator)].map(([name, { shape, data }]) => [
        name,
        float32(shape, generator.randn(data.length)), // zeros too
      ]),
    );
    const images = float32([2, 1, 8, 8], generator.randn(128));
    const classifier = await compileClassifier({ config, weights, device });
    const { features, logits } = await classifier.classify(images);
    expect([features.shape, logits.shape]).toEqual([
      [2, 3],
      [2, 3],
    ]);

    const relu = (value: number): number => Math.max(value, 0);
    let x = [Array.from({ length: 8 }, (_, row) => [...images.data.subarray(64 + row * 8, 72 + row * 8)])];
    for (const stage of [0, 1]) {
      const get = (name: string) => weights.get(`stages.${stage}.${name}`)!;
      x = convolve(x, get('halve.weight'), get('halve.bias'), 2).map((plane) =>
        plane.map((row) => row.map(relu)),
      );
      const refined = convolve(x, get('refine.weight'), get('refine.bias'), 1);
      x = x.map((plane, c) => plane.map((row, i) => row.map((value, j) => relu(value + refined[c][i][j]))));
    }
    const means = x.map((plane) => plane.flat().reduce((sum, value) => sum + value, 0) / 4);
    const [head, bias] = [weights.get('head.weight')!.data, weights.get('head.bias')!.data];
    for (let i = 0; i < 3; i++) {
      expect(features.data[3 + i]).toBeCloseTo(means[i], 3);
      const logit = means.reduce((sum, mean, j) => sum + mean * head[i * 3 + j], bias[i]);
      expect(logits.data[3 + i]).toBeCloseTo(logit, 3);
    }
  });

  it('begins as its strided convolutions alone', () => {
    const weights = initializeClassifier(config, new Generator(0));
    expect([...weights.keys()]).toEqual([...classifierParameters(config).keys()]);
    const isZero = (name: string): boolean => weights.get(name)!.data.every((value) => value === 0);
    expect([...weights.keys()].filter(isZero)).toEqual(
      [...weights.keys()].filter((name) => name.includes('refine') || name.endsWith('bias')),
    );
  });

  it('refuses images of another shape', async () => {
    const weights = initializeClassifier(config, new Generator(0));
    const classifier = await compileClassifier({ config, weights, device });
    const images = float32([1, 1, 8, 4], new Float32Array(32));
    await expect(classifier.classify(images)).rejects.toThrow(ShapeError);
    await expect(classifier.classify(images)).rejects.toThrow('[N, 1, 8, 8], got [1,1,8,4]');
  });

  it.each<[Partial<ClassifierConfig>, RegExp]>([
    [{ classNames: ['a'] }, /classNames must be at least 2, got 1/],
    [{ channels: 2 }, /channels must be 1 or 3, got 2/],
    [{ widths: [] }, /widths must be whole numbers above 0/],
    [{ widths: [2, 0.5] }, /widths must be whole numbers above 0.*\[2, 0.5\]/],
    [{ imageSize: 6 }, /imageSize must be a multiple of 4, which 2 stages halve, got 6/],
    [{ imageSize: 0 }, /imageSize must be a multiple of 4/],
    [{ testAccuracy: 93 }, /testAccuracy must be 0 to 1, got 93/],
    [{ testAccuracy: -0.1 }, /testAccuracy must be 0 to 1, got -0.1/],
  ])('is refused with %j', (changes, message) => {
    expect(() => validateClassifier({ ...config, ...changes })).toThrow(ConfigError);
    expect(() => validateClassifier({ ...config, ...changes })).toThrow(message);
  });

  it.each<Partial<ClassifierConfig>>([
    { classNames: ['a', 'b'] },
    { channels: 3 },
    { widths: [1], imageSize: 2 },
    { testAccuracy: 0 },
    { testAccuracy: 1 },
  ])('may have %j', (changes) => {
    expect(validateClassifier({ ...config, ...changes })).toEqual({ ...config, ...changes });
  });

  it('starts from weights that keep the variance through a layer (He et al., 2015)', () => {
    const weights = [...initializeClassifier({ ...config, widths: [64, 64] }, new Generator(0)).values()];
    const normal = weights.filter(
      ({ shape, data }) => shape.length === 4 && data.length > 1000 && data[0] !== 0,
    );
    expect(normal.length).toBeGreaterThan(0);
    for (const { shape, data } of normal) {
      const variance = data.reduce((sum, value) => sum + value * value, 0) / data.length;
      const inputs = data.length / shape[0];
      expect((variance * inputs) / 2).toBeCloseTo(1, 1);
    }
  });
});

it('the likeliest class of each row is named, of equal ones the first', () => {
  expect(predictedClasses(float32([3, 3], [-3, -1, -2, 5, 1, 5, 0, 0, 7]))).toEqual([1, 0, 2]);
});
