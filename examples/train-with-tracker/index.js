// Training from a program that keeps its own log. The data are images of the bundled model.
import { open, parseRecipe } from 'acdit';
import { silentReporter, trainModel } from 'acdit/runs';
import { openCpu } from 'acdit/runtime/node';

const teacher = await open('fashion-mnist');
const images = await teacher.generate(['sneaker', 'bag'], { count: 8, steps: 3 });
for (const image of images) await image.save(`data/${image.name}/${image.number}.png`);
await teacher.dispose();

const recipe = parseRecipe({
  model: { layers: 2, hidden: 64, heads: 2, patch: 4, blocks: 4 },
  data: { path: 'data', imageSize: 32, channels: 1 },
  training: { steps: 20, batch: 8, learningRate: 1e-3, seed: 1 },
  output: { folder: 'run', checkpointEvery: 20, logEvery: 5 },
});

/** Your own tracker: replace this list with any object or service. */
const losses = [];
const report = {
  ...silentReporter,
  emit(event) {
    if (event.kind === 'step') losses.push({ step: event.step, loss: event.loss });
  },
};
const device = openCpu();
await trainModel({ recipe, device, report });
await device.dispose();
console.table(losses);

const student = await open('run');
const [image] = await student.generate('sneaker', { seed: 1, steps: 5 });
await image.save('student.png');
