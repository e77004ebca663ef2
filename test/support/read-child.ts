/** @file The process of read-in-child.ts: opens a file, reads all of it, and prints what that cost as JSON. */

import { openFile } from '../../src/formats/file-source.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openTensorflowGraph } from '../../src/formats/tensorflow-graph.ts';
import { nestedTensors, openTorchCheckpoint } from '../../src/formats/torch-checkpoint.ts';

const [path] = process.argv.slice(2);
const megabytes = (): number => process.resourceUsage().maxRSS / 1000;

async function readAll(): Promise<number> {
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
