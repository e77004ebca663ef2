/**
 * @file Makes the animation of docs/models.md: two videos per class of a video model in pixels, side by side.
 * Usage: npm run clip-grid -- MODEL_FOLDER OUT.webp [SEED]
 */

import { loadModel } from '../src/checkpoints/load.ts';
import { ArgumentError } from '../src/errors.ts';
import { framesOf } from '../src/media/pixels.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { writeAnimatedGrid } from '../src/runs/sample-files.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';

const PER_CLASS = 2;
const COLUMNS = 10;

const [folder, out, seed = '42'] = process.argv.slice(2);
if (!folder || !out) throw new ArgumentError('clip-grid: expected a model folder and a file to write');
const device = openCpu();
const model = await loadModel(folder);
const { config } = model;
const sampler = await createSampler({ ...model, device });
// Two rows, each with all classes.
const labels = Array.from({ length: PER_CLASS * config.classes }, (_, i) => i % config.classes);
const latents = await finalLatents(sampler.sample({ labels, seed: Number(seed) }));
await writeAnimatedGrid(out, framesOf(unpatchify(config, latents)).flat(), config.frames, COLUMNS);
await device.dispose();
