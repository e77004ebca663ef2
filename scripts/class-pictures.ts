/**
 * @file Makes the strip of images, one per class, that the browser app shows for a model: `classes.png` in its folder,
 * or `classes.webp` if it has colours: a page loads it first of all, and WebP is smaller.
 * Videos are shown by their middle frame.
 */

import { join } from 'node:path';
import { at } from '../src/at.ts';
import { loadModel } from '../src/checkpoints/load.ts';
import { writeFileAtomically } from '../src/io/atomic-write.ts';
import { encodeImage, grid } from '../src/media/image.ts';
import { framesOf } from '../src/media/pixels.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';

const [folder, seed = '7'] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: tsx scripts/class-pictures.ts MODEL_FOLDER [SEED]');
const device = openCpu();
const model = await loadModel(folder);
const { config } = model;
const sampler = await createSampler({ ...model, device });
const labels = Array.from({ length: config.classes }, (_, label) => label);
const latents = await finalLatents(sampler.sample({ labels, seed: Number(seed) }));
const pictures = framesOf(unpatchify(config, latents)).map((frames) =>
  at(frames, Math.floor(frames.length / 2)),
);
const strip = grid(pictures, { columns: labels.length, padding: 0 });
const format = config.channels === 1 ? 'png' : 'webp';
const bytes = await encodeImage(strip, format);
await writeFileAtomically(join(folder, `classes.${format}`), (write) => write(bytes));
await device.dispose();
