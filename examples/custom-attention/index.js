// Training with a custom attention predicate, which sampling then follows. The data are images of the bundled model.
import { open, parseRecipe } from 'acdit';
import { trainModel } from 'acdit/runs';
import { openCpu } from 'acdit/runtime/node';
import { loadAttention } from 'acdit/training';

const teacher = await open('fashion-mnist');
const images = await teacher.generate(['sneaker', 'bag'], { count: 8, steps: 3 });
for (const image of images) await image.save(`data/${image.name}/${image.number}.png`);
await teacher.dispose();

// `acdit train RECIPE.json --model.attention powers.js` does the same.
const recipe = await loadAttention(
  parseRecipe({
    model: { layers: 2, hidden: 64, heads: 2, patch: 4, blocks: 16, attention: 'powers.js' },
    data: { path: 'data', imageSize: 32, channels: 1 },
    training: { steps: 20, batch: 8, learningRate: 1e-3, seed: 1 },
    output: { folder: 'run', checkpointEvery: 20 },
  }),
);
for (const row of recipe.model.attention.noised) console.log(row); // rows are queries, columns are keys

const device = openCpu();
await trainModel({ recipe, device });
await device.dispose();

// The model holds the table, not the module.
const student = await open('run');
const [image] = await student.generate('sneaker', { seed: 1, steps: 5 });
await image.save('student.png');
