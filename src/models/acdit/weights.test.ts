import { describe, expect, it } from 'vitest';
import { paperImageConfig } from '../../../test/support/formula-weights.ts';
import { tinyConfig } from '../../../test/support/tiny-config.ts';
import { CheckpointError } from '../../errors.ts';
import { Generator } from '../../tensor/generator.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import {
  checkWeights,
  initializeWeights,
  layerWeightShapes,
  layerWeights,
  parameterCount,
  parameters,
} from './weights.ts';

const config = tinyConfig();

describe('parameters', () => {
  it.each<['B' | 'L' | 'XL' | 'H', number, number]>([
    ['B', 130_305_028, 129_633_040],
    ['L', 457_851_908, 456_955_920],
    ['XL', 674_856_708, 673_848_720],
    ['H', 950_959_620, 949_839_632],
  ])("of size %s are as many as the released code's", (size, image, video) => {
    const model = paperImageConfig(size);
    expect(parameterCount(model)).toBe(image);
    expect(parameterCount({ ...model, classes: 101, patch: 2 })).toBe(video);
  });

  it('are named when they do not fit', () => {
    const shapes = parameters(config);
    expect(() => checkWeights(config, shapes)).not.toThrow();
    shapes.delete('x_embedder.weight');
    shapes.set('more', [1]);
    shapes.set('blocks.1.norm2.weight', [5]);
    expect(() => checkWeights(config, shapes)).toThrow(CheckpointError);
    expect(() => checkWeights(config, shapes)).toThrow(
      /missing: x_embedder.weight; of shape \[5\] instead of \[24\]: .*norm2.weight; unknown: more/,
    );
  });
});

describe('the initialisation', () => {
  const weights = initializeWeights(tinyConfig({ hidden: 48 }), Generator.seeded(1));

  it('is the official one', () => {
    expect(new Map([...weights].map(([name, { shape }]) => [name, shape]))).toEqual(
      parameters(tinyConfig({ hidden: 48 })),
    );
    for (const [name, { shape, data }] of weights) {
      const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const deviation = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
      if (/bias$|adaLN|final_layer.linear/.test(name)) expect(largest, name).toBe(0);
      else if (/norm/.test(name))
        expect(
          data.every((value) => value === 1),
          name,
        ).toBe(true);
      else if (/^[ty]_embedder/.test(name)) expect(deviation / 0.02, name).toBeCloseTo(1, 0);
      else {
        const bound = Math.sqrt(6 / (shape[0] + shape[1])); // Xavier
        expect(largest, name).toBeLessThanOrEqual(bound);
        expect(deviation / (bound / Math.sqrt(3)), name).toBeCloseTo(1, 0);
      }
    }
  });

  it('depends on nothing but the generator', () => {
    const again = (seed: number) => initializeWeights(tinyConfig({ hidden: 48 }), Generator.seeded(seed));
    expect(again(1)).toEqual(weights);
    expect(again(2)).not.toEqual(weights);
  });
});

describe("a layer's weights", () => {
  it('are views under their own names, query, key and value apart', () => {
    const numbered = new Map(
      [...parameters(config)].map(([name, shape]) => [
        name,
        float32(
          shape,
          Float32Array.from({ length: elementCount(shape) }, (_, i) => i),
        ),
      ]),
    );
    const views = layerWeights(numbered, 1);
    expect(Object.fromEntries(Object.entries(views).map(([name, { shape }]) => [name, [...shape]]))).toEqual(
      layerWeightShapes(config),
    );
    expect(views['attn.key.weight'].data[0]).toBe(24 * 24);
    expect(views['attn.value.bias'].data[0]).toBe(48);
    views['attn.value.bias'].data[0] = -1;
    views['norm1.weight'].data[2] = -1;
    expect(numbered.get('blocks.1.attn.qkv.bias')!.data[48]).toBe(-1);
    expect(numbered.get('blocks.1.norm1.weight')!.data[2]).toBe(-1);
    expect(numbered.get('blocks.0.norm1.weight')!.data[2]).toBe(2);
  });
});
