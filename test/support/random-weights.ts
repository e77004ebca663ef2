/** @file Random weights: unlike those of formulas, labels and timesteps matter to a model that has them. */

import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { parameters, type Weights } from '../../src/models/acdit/weights.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { elementCount, float32 } from '../../src/tensor/tensor.ts';

/** Normal weights of standard deviation 0.3. */
export function randomWeights(config: AcditConfig, seed = 1): Weights {
  const generator = new Generator(seed);
  return new Map(
    [...parameters(config)].map(([name, shape]) => {
      const values = generator.randn(elementCount(shape)).map((value) => 0.3 * value);
      return [name, float32(shape, values)];
    }),
  );
}
