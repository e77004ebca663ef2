import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../errors.ts';
import { input } from '../../graph/symbolic.ts';
import { elementCount, float32, tensor } from '../../tensor/tensor.ts';
import { foldBatchNorm, samePadding, weightShape } from '../network-layers.ts';
import { I3D_CONVOLUTIONS, i3dLogits, preprocessClips, requireFrames } from './i3d.ts';

/** The shape of the logits of clips of some shape. */
function logitsOf(shape: readonly (number | string)[]) {
  return i3dLogits(input('clips', shape)).shape;
}

describe('I3D', () => {
  it('has as many parameters as published', () => {
    const count = (last: boolean): number =>
      I3D_CONVOLUTIONS.filter((layer) => layer.last === last).reduce(
        // A bias, or the two vectors of a batch norm.
        (sum, layer) => sum + elementCount(weightShape(layer)) + (last ? 1 : 2) * layer.outputs,
        0,
      );
    expect(I3D_CONVOLUTIONS.length).toBe(58);
    expect([count(false), count(true)]).toEqual([12_287_264, 410_000]);
  });

  it.each([9, 10, 16, 17, 64])('takes clips of %i frames', (frames) => {
    expect(logitsOf(['clips', 3, frames, 224, 224])).toEqual(['clips', 400]);
    expect(() => requireFrames(frames)).not.toThrow();
  });

  it.each([
    [[2, 3, 8, 224, 224]],
    [[2, 3, 16, 112, 224]],
    [[2, 3, 16, 224, 225]],
    [[2, 1, 16, 224, 224]],
    [[2, 3, 'frames', 224, 224]],
    [[3, 16, 224, 224]],
  ])('refuses clips of %j', (shape) => {
    expect(() => logitsOf(shape)).toThrow(ShapeError);
    expect(() => logitsOf(shape)).toThrow(/\[N, 3, T, 224, 224\] with at least 9 frames/);
  });

  it.each([8, 0, 16.5, Number.NaN])('refuses %d frames', (frames) => {
    expect(() => requireFrames(frames)).toThrow(`at least 9 frames, got ${frames}`);
  });

  it('is padded so that windows have ceil(size / stride) places, the odd zero after', () => {
    const sizes = fc.record({
      size: fc.integer({ min: 1, max: 40 }),
      kernel: fc.integer({ min: 1, max: 7 }),
      stride: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(sizes, ({ size, kernel, stride }) => {
        const [before, after] = samePadding({ shape: [1, 1, size] }, [kernel], [stride]);
        const places = (padding: number): number => Math.floor((size + padding - kernel) / stride) + 1;
        expect(places(before + after)).toBe(Math.ceil(size / stride));
        expect([0, 1]).toContain(after - before);
        if (before + after > 0) expect(places(before + after - 1)).toBeLessThan(Math.ceil(size / stride));
      }),
    );
    expect(samePadding({ shape: [1, 3, 16, 224, 9] }, [7, 7, 7], [2, 2, 2])).toEqual([2, 2, 3, 3, 3, 3]);
  });
});

describe('a batch norm folded into a convolution', () => {
  it.each([undefined, [2, -1]])('gives the same: scale %j', (scale) => {
    const norm = { mean: [1, -2], variance: [4, 0.25], shift: [0.5, 3], scale, epsilon: 0.01 };
    const weight = [0.5, -1, 2, 3];
    const folded = foldBatchNorm(float32([2, 2, 1], weight), norm);
    expect([folded.weight.shape, folded.bias.shape]).toEqual([[2, 2, 1], [2]]);
    const x = [1.5, -0.5];
    for (const k of [0, 1]) {
      const y = weight[2 * k] * x[0] + weight[2 * k + 1] * x[1];
      const expected =
        ((y - norm.mean[k]) / Math.sqrt(norm.variance[k] + 0.01)) * (scale?.[k] ?? 1) + norm.shift[k];
      const [a, b] = folded.weight.data.subarray(2 * k);
      expect(a * x[0] + b * x[1] + folded.bias.data[k]).toBeCloseTo(expected, 5);
    }
  });
});

describe('clips for I3D', () => {
  const clip = (shape: readonly number[], value: (i: number) => number) =>
    tensor(
      'uint8',
      shape,
      Uint8Array.from({ length: elementCount(shape) }, (_, i) => value(i)),
    );

  it.each(['tensorflow', 'torch'] as const)('of its size are only scaled, and reordered: %s', (resizing) => {
    const { shape, data } = preprocessClips(
      clip([1, 2, 224, 224, 3], (i) => (i * 7) % 256),
      resizing,
    );
    expect(shape).toEqual([1, 3, 2, 224, 224]);
    for (const [t, y, x, c] of [
      [0, 0, 0, 0],
      [1, 5, 200, 1],
      [1, 223, 223, 2],
    ]) {
      const pixel = ((((t * 224 + y) * 224 + x) * 3 + c) * 7) % 256;
      expect(data[((c * 2 + t) * 224 + y) * 224 + x]).toBe(Math.fround(Math.fround((2 * pixel) / 255) - 1));
    }
  });

  it('are enlarged from the corner of a pixel, or from its middle', () => {
    // A row of two pixels, 0 and 255: the first place is at 0 or at -0.496, the last one at 1.99 or at 1.496.
    const ramp = clip([1, 1, 1, 2, 3], (i) => (i < 3 ? 0 : 255));
    const row = (resizing: 'tensorflow' | 'torch') => preprocessClips(ramp, resizing).data.subarray(0, 224);
    const [corner, middle] = [row('tensorflow'), row('torch')];
    for (const x of [0, 1, 50, 111, 112, 170, 223]) {
      expect(corner[x]).toBeCloseTo(Math.min((2 * x) / 224, 1) * 2 - 1, 5);
      expect(middle[x]).toBeCloseTo(Math.min(Math.max((2 * (x + 0.5)) / 224 - 0.5, 0), 1) * 2 - 1, 5);
    }
  });

  it('must be RGB, channels last', () => {
    expect(() =>
      preprocessClips(
        clip([1, 2, 4, 4, 1], () => 0),
        'torch',
      ),
    ).toThrow(ShapeError);
    expect(() =>
      preprocessClips(
        clip([2, 4, 4, 3], () => 0),
        'torch',
      ),
    ).toThrow(/\[N, T, H, W, 3\]/);
  });
});
