/** @file Images to learn from, drawn here: large bright shapes of four kinds, anywhere on black. */

import { at, take } from '../../../src/at.ts';
import type { Dataset, Sample } from '../../../src/data/dataset.ts';
import { Generator } from '../../../src/tensor/generator.ts';

export const SHAPES = ['circle', 'square', 'triangle', 'cross'] as const;
type Shape = (typeof SHAPES)[number];

export const SHAPE_SIDE = 16;
/** Points per pixel along each axis, for smooth edges. */
const POINTS = 3;

/** Whether a point is in a shape around 0, of radius 1. */
const inside: Record<Shape, (x: number, y: number) => boolean> = {
  circle: (x, y) => x * x + y * y <= 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85,
  triangle: (x, y) => y <= 0.8 && y >= 2 * Math.abs(x) - 1,
  cross: (x, y) => Math.min(Math.abs(x), Math.abs(y)) <= 0.3 && Math.max(Math.abs(x), Math.abs(y)) <= 1,
};

/** Draws `size` images, the same for the same seed. */
export function shapesDataset(size: number, seed: number): Dataset {
  const samples = Array.from({ length: size }, (_, i) =>
    drawSample(i % SHAPES.length, Generator.seeded(seed, i)),
  );
  return {
    name: 'shapes',
    size,
    sampleShape: [1, 1, SHAPE_SIDE, SHAPE_SIDE],
    classNames: SHAPES,
    corruptCount: 0,
    read: async (index) => samples[index],
  };
}

function drawSample(label: number, generator: Generator): Sample {
  const [size, across, down] = take([...generator.rand(3)], 3);
  const radius = 6 + 1.5 * size;
  const place = (share: number): number => radius + share * (SHAPE_SIDE - 2 * radius);
  const [centerX, centerY] = [place(across), place(down)];
  const contains = inside[at(SHAPES, label)];
  const values = new Float32Array(SHAPE_SIDE ** 2);
  for (let i = 0; i < values.length * POINTS ** 2; i++) {
    const [pixel, point] = [Math.floor(i / POINTS ** 2), i % POINTS ** 2];
    const x = (pixel % SHAPE_SIDE) + ((point % POINTS) + 0.5) / POINTS;
    const y = Math.floor(pixel / SHAPE_SIDE) + (Math.floor(point / POINTS) + 0.5) / POINTS;
    if (contains((x - centerX) / radius, (y - centerY) / radius))
      values[pixel] = at(values, pixel) + 2 / POINTS ** 2;
  }
  return { values: values.map((value) => value - 1), label };
}
