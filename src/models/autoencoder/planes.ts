/**
 * @file Images of many channels, cut into strips of rows. Each strip is contiguous in memory and is a program's whole
 * input or output, so memory beyond the image itself stays small, however large the image is. A convolution of a
 * strip also reads one row of each neighbour. What a norm needs of the whole image is measured strip by strip and
 * put together, so strips change no result.
 */

import { at, float32At, take } from '../../at.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';

/** What a norm needs to know of a strip: for each group of channels, its mean and the squared distances from it. */
export interface Measure {
  /** Values in a group. */
  readonly count: number;
  readonly means: Float32Array;
  /** Sums of squared distances. */
  readonly squares: Float32Array;
}

/** An image (C, H, W) as strips (C, rows, W), one after the other; the last may have fewer rows. */
export interface Plane {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly rows: number;
  readonly data: Float32Array;
  /** One for each strip it was made in, if a norm follows. */
  readonly measures: readonly Measure[];
}

export function stripCount({ height, rows }: Pick<Plane, 'height' | 'rows'>): number {
  return Math.ceil(height / rows);
}

function stripHeight({ height, rows }: Plane, index: number): number {
  return Math.min(rows, height - index * rows);
}

/** A strip (1, C, rows, W), sharing memory with the plane. */
export function strip(plane: Plane, index: number): Tensor<'float32'> {
  const { channels, width, rows, data } = plane;
  const shape = [1, channels, stripHeight(plane, index), width];
  const start = index * rows * channels * width;
  return float32(shape, data.subarray(start, start + elementCount(shape)));
}

/** Copy row `row` of strip `index` into (C, 1, W), or clear it where there is no such strip. */
export function copyEdge(plane: Plane, index: number, edge: 'first' | 'last', into: Float32Array): void {
  if (index < 0 || index >= stripCount(plane)) {
    into.fill(0);
    return;
  }
  const { channels, width } = plane;
  const { data } = strip(plane, index);
  const rows = stripHeight(plane, index);
  for (let channel = 0; channel < channels; channel++) {
    const start = (channel * rows + (edge === 'first' ? 0 : rows - 1)) * width;
    into.set(data.subarray(start, start + width), channel * width);
  }
}

/** Copy the image of `from` into `to`, which differs in its strips alone. */
function copyRows(from: Plane, to: Plane): void {
  const { width, channels, height } = from;
  for (let row = 0; row < height; ) {
    const source = strip(from, Math.floor(row / from.rows));
    const target = strip(to, Math.floor(row / to.rows));
    const [inSource, inTarget] = [row % from.rows, row % to.rows];
    const [rowsOfSource, rowsOfTarget] = [at(source.shape, 2), at(target.shape, 2)];
    const count = Math.min(rowsOfSource - inSource, rowsOfTarget - inTarget);
    for (let channel = 0; channel < channels; channel++) {
      const start = (channel * rowsOfSource + inSource) * width;
      const offset = (channel * rowsOfTarget + inTarget) * width;
      target.data.set(source.data.subarray(start, start + count * width), offset);
    }
    row += count;
  }
}

/** Memory of planes, used again for later ones: fresh memory costs a page fault every 4 KB. */
export class PlanePool {
  #free: ArrayBufferLike[] = [];

  /** The smallest free piece that is large enough. Where none is, those there are go, as planes grow on the way. */
  #memory(length: number): Float32Array {
    const fitting = this.#free.filter(({ byteLength }) => byteLength >= 4 * length);
    if (fitting.length === 0) {
      this.#free = [];
      return new Float32Array(length);
    }
    const best = fitting.reduce((a, b) => (b.byteLength < a.byteLength ? b : a));
    this.#free = this.#free.filter((piece) => piece !== best);
    return new Float32Array(best, 0, length);
  }

  /** A plane of arbitrary content. */
  take(channels: number, height: number, width: number, rows: number): Plane {
    const data = this.#memory(channels * height * width);
    return { channels, height, width, rows: Math.min(rows, height), data, measures: [] };
  }

  /** The same image in strips of `rows`. The plane it is given is handed back, unless it is the result. */
  recut(plane: Plane, rows: number): Plane {
    const { channels, height, width, measures } = plane;
    if (Math.min(rows, height) === plane.rows) return plane;
    const result = { ...this.take(channels, height, width, rows), measures };
    copyRows(plane, result);
    this.give(plane);
    return result;
  }

  /** Hand a plane back. */
  give({ data }: Plane): void {
    this.#free.push(data.buffer);
  }
}

/** An image that is given as (C, H, W). */
export function planeOf(values: Float32Array, shape: readonly number[]): Plane {
  const [channels, height, width] = take(shape, 3);
  return { channels, height, width, rows: height, data: values, measures: [] };
}

/** A norm's weights, one per channel. */
export interface NormWeights {
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

const EPSILON = 1e-6;

/**
 * Group normalisation of a plane, from what was measured of its strips, as one multiplication and one addition per
 * channel: norm(x) = scale x + shift. Means and squared distances of parts are put
 * together without cancellation (Chan, Golub and LeVeque 1979).
 */
export function normalization({ measures }: Plane, { weight, bias }: NormWeights) {
  const groups = at(measures, 0).means.length;
  const channelsInGroup = weight.length / groups;
  const total = measures.reduce((sum, { count }) => sum + count, 0);
  const scale = new Float32Array(weight.length);
  const shift = new Float32Array(weight.length);
  for (let group = 0; group < groups; group++) {
    let [mean, squares] = [0, 0];
    for (const { count, means } of measures) mean += (count / total) * float32At(means, group);
    for (const part of measures) {
      squares += float32At(part.squares, group) + part.count * (float32At(part.means, group) - mean) ** 2;
    }
    const inverse = 1 / Math.sqrt(squares / total + EPSILON);
    for (let i = 0; i < channelsInGroup; i++) {
      const channel = group * channelsInGroup + i;
      scale[channel] = float32At(weight, channel) * inverse;
      shift[channel] = float32At(bias, channel) - mean * float32At(weight, channel) * inverse;
    }
  }
  return { scale, shift };
}
