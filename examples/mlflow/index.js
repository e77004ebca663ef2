// Training with MLflow as its log: MLFLOW_TRACKING_URI=http://localhost:5000 npm start
import { open, parseRecipe } from 'acdit';
import { trainModel } from 'acdit/runs';
import { openCpu } from 'acdit/runtime/node';
import { mlflowTracker } from './mlflow.js';

const teacher = await open('fashion-mnist');
const images = await teacher.generate(['sneaker', 'bag'], { count: 8, steps: 3 });
for (const image of images) await image.save(`data/${image.name}/${image.number}.png`);
await teacher.dispose();

const recipe = parseRecipe({
  model: { layers: 2, hidden: 64, heads: 2, patch: 4, blocks: 4 },
  data: { path: 'data', imageSize: 32, channels: 1 },
  training: { steps: 20, batch: 8, learningRate: 1e-3, seed: 1 },
  output: { folder: 'run', checkpointEvery: 10, logEvery: 5, sampleEvery: 20, sampleSteps: 2 },
});
const stop = new AbortController();
process.once('SIGINT', () => stop.abort());

const device = openCpu();
const log = await mlflowTracker({
  url: process.env.MLFLOW_TRACKING_URI ?? 'http://localhost:5000',
  experiment: 'acdit',
  folder: recipe.output.folder,
  recipe,
  token: process.env.MLFLOW_TRACKING_TOKEN,
});
let status = 'FAILED';
try {
  const { step, interrupted } = await trainModel({
    recipe,
    device,
    trackers: [log.tracker],
    signal: stop.signal,
  });
  status = interrupted ? 'KILLED' : 'FINISHED';
  console.log(`trained to step ${step}`);
} finally {
  await device.dispose();
  await log.finish(status);
}
