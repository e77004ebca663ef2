/** @file Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598). */

import { float32At } from '../at.ts';
import { ShapeError } from '../errors.ts';

/** The predictions that a scale needs: with their label, without it, or both. */
export type GuidanceBranches = 'conditional' | 'unconditional' | 'both';

/**
 * Returns the predictions that {@link guide} combines at a scale: at 1 and 0 it needs one of them, so one pass is enough.
 */
export function guidanceBranches(scale: number): GuidanceBranches {
  if (scale === 1) return 'conditional';
  return scale === 0 ? 'unconditional' : 'both';
}

/**
 * Guided noise prediction u + scale (c - u), any shape. Scale 1 is the conditional prediction, 0 the
 * unconditional one; ACDiT guides all channels.
 * @throws {ShapeError} if the lengths differ.
 */
export function guide(conditional: Float32Array, unconditional: Float32Array, scale: number): Float32Array {
  if (conditional.length !== unconditional.length) {
    throw new ShapeError(
      `guide: ${conditional.length} conditional values but ${unconditional.length} unconditional ones`,
    );
  }
  return conditional.map((value, i) => {
    const base = float32At(unconditional, i);
    return base + scale * (value - base);
  });
}
