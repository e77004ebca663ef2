/** @file An official checkpoint of full size, computed from its tensors' names. Usage: npx tsx scripts/formula-checkpoint.ts SIZE OUT.pt */

import { saveOfficial } from '../src/checkpoints/official-writer.ts';
import type { LazyTensor } from '../src/formats/tensor-archive.ts';
import { parameters } from '../src/models/acdit/weights.ts';
import { formulaTensor, paperImageConfig } from '../test/support/formula-weights.ts';

const [size, path] = process.argv.slice(2) as ['B' | 'L' | 'XL' | 'H', string];
const config = paperImageConfig(size);
const tensors = new Map(
  [...parameters(config)].map(([name, shape]): [string, LazyTensor] => [
    name,
    { dtype: 'float32', shape, read: async () => formulaTensor(name, shape) },
  ]),
);
await saveOfficial(path, config, tensors);
