/**
 * @file RoPE-ND exactly as the released code computes it, which is not quite a rotation: the partner of
 * dimension j is j + D/2 of the whole head, though the two may turn by different axes.
 */

import { at } from '../../at.ts';
import { joinAxis } from '../../tensor/axes.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { type AcditConfig, gridLengths, headSize, passConfig, rotaryDims, tokenCount } from './config.ts';
import { tokenPositions } from './layout.ts';
import { rowsOf } from './weights.ts';

/** Cosines and sines for each token. */
export interface RopeTables {
  /** (tokens, D) */
  readonly cos: Tensor<'float32'>;
  /** (tokens, D) */
  readonly sin: Tensor<'float32'>;
}

/** The base of an axis's frequencies grows with its length, in steps of 100 (released code, `auto_base`). */
export function axisBase(length: number): number {
  return (Math.floor((8 * length) / Math.PI / 100) + 1) * 100;
}

/** base^(-e) for e from 0 to 1, both included, in float32 as PyTorch computes them. */
function axisFrequencies(dim: number, base: number): Float32Array {
  const count = dim / 2;
  return Float32Array.from({ length: count }, (_, i) => base ** -(count > 1 ? i / (count - 1) : 0));
}

/** An axis that dimensions of a head rotate by. */
interface RotaryAxis {
  readonly dim: number;
  /** How many places there are. */
  readonly length: number;
  /** The place of each token, in block order. */
  readonly places: Int32Array;
}

function rotaryAxes(config: AcditConfig): RotaryAxis[] {
  const { positions = 'nd' } = config;
  const tokens = tokenCount(config);
  if (positions !== 'nd') {
    const places = Int32Array.from({ length: tokens }, (_, token) => (positions === '1d' ? token : 0));
    return [{ dim: headSize(config), length: tokens, places }];
  }
  const [lengths, places] = [gridLengths(config), tokenPositions(config)];
  return rotaryDims(config).map((dim, axis) => ({
    dim,
    length: at(lengths, axis),
    places: at(places, axis),
  }));
}

/** Tables for every token of the model, in block order. */
export function ropeTables(config: AcditConfig): RopeTables {
  const size = headSize(config);
  const tokens = tokenCount(config);
  const cos = new Float32Array(tokens * size);
  const sin = new Float32Array(tokens * size);
  let offset = 0;
  for (const { dim, length, places } of rotaryAxes(config)) {
    const frequencies = axisFrequencies(dim, axisBase(length));
    for (let token = 0; token < tokens; token++) {
      for (let j = 0; j < dim; j++) {
        const angle = Math.fround(at(places, token) * at(frequencies, j % frequencies.length));
        cos[token * size + offset + j] = Math.cos(angle);
        sin[token * size + offset + j] = Math.sin(angle);
      }
    }
    offset += dim;
  }
  return { cos: float32([tokens, size], cos), sin: float32([tokens, size], sin) };
}

/** Tables with the first half of each sine negated, so that x' = x cos + swapHalves(x) sin. */
export function signedTables(tables: RopeTables): RopeTables {
  const size = at(tables.sin.shape, 1);
  const sin = tables.sin.data.map((value, i) => (i % size < size / 2 ? -value : value));
  return { cos: tables.cos, sin: float32(tables.sin.shape, sin) };
}

/** Returns the tables (tokens, D) of the tokens of `count` blocks, by default one, from number `block` on. */
export type Positions = (block: number, count?: number) => RopeTables;

/** Computes the tables of a whole sequence once, with signed sines. The blocks are those of a pass. */
export function createPositions(config: AcditConfig): Positions {
  const { blockSize } = passConfig(config);
  const { cos, sin } = signedTables(ropeTables(config));
  return (block, count = 1) => {
    const [start, end] = [block * blockSize, (block + count) * blockSize];
    return { cos: rowsOf(cos, start, end), sin: rowsOf(sin, start, end) };
  };
}

/** Returns the tables of the tokens of some blocks, by the positions of these. */
export function tablesOf(positions: Positions, places: readonly number[]): RopeTables {
  const tables = places.map((place) => positions(place));
  return {
    cos: joinAxis(
      tables.map(({ cos }) => cos),
      0,
    ),
    sin: joinAxis(
      tables.map(({ sin }) => sin),
      0,
    ),
  };
}
