/** @file The process of read-in-child.ts: opens a file, reads all of it, and prints what that cost as JSON. */

import { readFile } from 'node:fs/promises';
import { parseIdx, unpackGzip } from '../../src/data/idx.ts';
import { openImageFolder } from '../../src/data/image-folder.ts';
import { openSet } from '../../src/evaluation/open-set.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openTensorflowGraph } from '../../src/formats/tensorflow-graph.ts';
import { nestedTensors, openTorchCheckpoint } from '../../src/formats/torch/checkpoint.ts';
import { openFile } from '../../src/io/file-source.ts';
import { readFrames } from '../../src/media/video-reader.ts';

const [path] = process.argv.slice(2);
const megabytes = (): number => process.resourceUsage().maxRSS / 1000;

/** A folder of class folders, as training reads it: all images at once. */
async function readTrainingImages(): Promise<number> {
  const dataset = await openImageFolder(path, { imageSize: 64, maximumCorruptShare: 0 });
  const indices = Array.from({ length: dataset.size }, (_, i) => i);
  return (await Promise.all(indices.map((i) => dataset.read(i)))).length;
}

/** A set as an evaluation reads it. */
async function readEvaluationImages(): Promise<number> {
  const opened = await openSet(path);
  if (opened.kind === 'features') throw new Error('expected images');
  let count = 0;
  for await (const { shape } of opened.images.batches(100)) count += shape[0];
  await opened.images.close();
  return count;
}

async function readVideo(): Promise<number> {
  let count = 0;
  for await (const _ of readFrames(path)) count++;
  return count;
}

async function readAll(): Promise<number> {
  if (path.endsWith('training')) return readTrainingImages();
  if (path.endsWith('evaluation') || path.endsWith('images.npz')) return readEvaluationImages();
  if (path.endsWith('.gz')) return parseIdx(await unpackGzip(await readFile(path), path), path).shape[0];
  if (/\.(avi|gif)$/.test(path)) return readVideo();
  const source = await openFile(path);
  if (path.endsWith('.npz')) {
    const npz = await openNpz(source);
    for (const name of npz.names) await npz.read(name);
    return npz.names.length;
  }
  const archive = path.endsWith('.pb')
    ? await openTensorflowGraph(source)
    : nestedTensors((await openTorchCheckpoint(source)).value);
  for (const name of archive.names) await archive.read(name);
  return archive.names.length;
}

const [memory, start] = [megabytes(), process.cpuUsage()];
const result = await readAll().then(
  (count) => ({ count }),
  (error: Error) => ({ error: `${error.name}: ${error.message}` }),
);
const { user, system } = process.cpuUsage(start);
console.log(JSON.stringify({ ...result, megabytes: megabytes() - memory, seconds: (user + system) / 1e6 }));
