/** @file Norms of the gradient by what the weights do, which show where a training is unstable. */

import { float32At, get } from '../at.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Recipe } from './recipe.ts';

/** Groups of weights, and how the names of theirs begin after the layer. */
const GROUPS: readonly (readonly [group: string, pattern: RegExp])[] = [
  ['embedding', /^[txy]_embedder\./],
  ['final', /^final_layer\./],
  ['modulation', /\.adaLN_modulation\./],
  ['attention', /\.attn\./],
  ['mlp', /\.mlp\./],
  ['norm', /./],
];

/** Names of the groups. */
export const GRADIENT_GROUPS = GROUPS.map(([group]) => group);

/** Whether the norms by group are logged after the step that follows `step`. */
export function isLogged({ output }: Pick<Recipe, 'output'>, step: number): boolean {
  return output.gradientNorms === true && (step + 1) % output.logEvery === 0;
}

/** The group of a weight. */
export function gradientGroup(weight: string): string {
  return GROUPS.find(([, pattern]) => pattern.test(weight))?.[0] ?? 'norm';
}

/** Adds up the squares of gradients by group, tensor by tensor, in doubles. */
export function gradientSquares(): {
  add(gradients: Weights): void;
  norms(scale: number): Record<string, number>;
} {
  const sums = Object.fromEntries(GRADIENT_GROUPS.map((group) => [group, 0]));
  return {
    add(gradients) {
      for (const [name, { data }] of gradients) {
        let sum = 0;
        for (let i = 0; i < data.length; i++) sum += float32At(data, i) ** 2;
        const group = gradientGroup(name);
        sums[group] = get(sums, group) + sum;
      }
    },
    /** Norms of the gradients times `scale`. */
    norms: (scale) =>
      Object.fromEntries(Object.entries(sums).map(([group, sum]) => [group, scale * Math.sqrt(sum)])),
  };
}
