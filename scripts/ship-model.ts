/**
 * @file Copies a run's model in half precision, as it is bundled: the EMA weights and the configuration.
 * Usage: npm run ship-model -- RUN_FOLDER MODEL_FOLDER
 */

import { loadModel } from '../src/checkpoints/load.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import { ArgumentError } from '../src/errors.ts';

const [run, folder] = process.argv.slice(2);
if (!run || !folder) throw new ArgumentError('ship-model: expected a run folder and a model folder');
const { config, weights } = await loadModel(run);
await saveModel(folder, config, weights, { dtype: 'float16' });
