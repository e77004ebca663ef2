/** @file Exported ONNX programs in plain ONNX Runtime, by the loop that docs/onnx.md shows. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import { openFile } from '../../src/io/file-source.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { type Tensor, tensorBytes } from '../../src/tensor/tensor.ts';
import { runInProcess } from '../support/cli.ts';
import { digest } from '../support/digest.ts';
import { golden, relativeError } from '../support/golden.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const repository = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The guide's program, in a folder that has ONNX Runtime and no acdit. */
function writeExample(folder: string): string {
  const [, code] = /```js\n(.*?)```/s.exec(readFileSync(repository('docs/onnx.md'), 'utf8'))!;
  const file = join(folder, 'sample.mjs');
  writeFileSync(file, code);
  symlinkSync(repository('node_modules'), join(folder, 'node_modules'), 'junction');
  return file;
}

async function exported(model: string, folder: string): Promise<string> {
  const path = join(folder, 'model.onnx');
  expect(await runInProcess(['convert', model, path, '--quiet'])).toMatchObject({ code: 0, stderr: '' });
  return path;
}

describe('a model as ONNX', () => {
  it.each(['image-tiny', 'video-tiny'])('samples the latents of %s', async (name) => {
    const folder = temporaryFolder();
    const path = await exported(golden(`${name}.pt`), folder);
    const npz = await openNpz(await openFile(golden(`${name}.npz`)));
    const read = async (member: string): Promise<Tensor> => npz.read(`sample.${member}`);
    writeFileSync(join(folder, 'noise'), tensorBytes(await read('noise')));
    const labels = [...(await read('labels')).data].join();
    const [cfg] = (await read('cfg')).data;
    const [steps] = (await read('steps')).data;
    const expected = await read('latents');
    await npz.close();
    const args = [
      writeExample(folder),
      path,
      labels,
      join(folder, 'noise'),
      join(folder, 'out'),
      `${cfg}`,
      `${steps}`,
    ];
    execFileSync(process.execPath, args, { cwd: folder });
    const bytes = new Uint8Array(readFileSync(join(folder, 'out')));
    const latents = { data: new Float32Array(bytes.buffer) };
    expect(relativeError(latents, expected)).toBeLessThan(1e-4);
  });

  it.each([0, 0.5, 1])('samples with guidance %d as acdit does', async (cfg) => {
    const folder = temporaryFolder();
    const model = golden('image-tiny.pt');
    const path = await exported(model, folder);
    const npz = await openNpz(await openFile(golden('image-tiny.npz')));
    const noise = await npz.read('sample.noise');
    const labels = [...(await npz.read('sample.labels')).data].join();
    await npz.close();
    writeFileSync(join(folder, 'noise'), tensorBytes(noise));
    const file = writeExample(folder);
    execFileSync(
      process.execPath,
      [file, path, labels, join(folder, 'noise'), join(folder, 'out'), `${cfg}`, '3'],
      {
        cwd: folder,
      },
    );
    const bytes = new Uint8Array(readFileSync(join(folder, 'out')));
    const { config, weights } = await loadModel(model);
    const sampler = await createSampler({ config, weights, device: openCpu() });
    const request = {
      labels: labels.split(',').map(Number),
      cfg,
      steps: 3,
      noise: noise as Tensor<'float32'>,
    };
    const expected = await finalLatents(sampler.sample(request));
    expect(relativeError({ data: new Float32Array(bytes.buffer) }, expected)).toBeLessThan(1e-4);
    await sampler.dispose();
  });

  it('has the signature that the guide documents', async () => {
    const path = await exported(golden('image-tiny.pt'), temporaryFolder());
    const session = await InferenceSession.create(path);
    const describeAll = (values: readonly InferenceSession.ValueMetadata[]): string[] =>
      values.map((value) => (value.isTensor ? `${value.name} ${value.type} ${value.shape}` : value.name));
    const layers = (name: string, cached: string): string[] =>
      [0, 1].flatMap((i) =>
        ['key', 'value'].map((part) => `${name}.${i}.${part} float32 samples,2,${cached},64`),
      );
    expect(describeAll(session.inputMetadata)).toEqual([
      'latents float32 samples,16,4',
      'timesteps int64 samples',
      'labels int64 samples',
      'block int64 1',
      ...layers('past', 'cached'),
    ]);
    expect(describeAll(session.outputMetadata)).toEqual([
      'noise float32 samples,16,4',
      ...layers('present', 'cached+16'),
    ]);
    await session.release();
  });

  it('holds its weights in a safetensors file, in float32', async () => {
    const half = join(temporaryFolder(), 'half');
    const args = ['convert', golden('image-tiny.pt'), half, '--dtype', 'fp16', '--quiet'];
    expect(await runInProcess(args)).toMatchObject({ code: 0 });
    const path = await exported(half, temporaryFolder());
    expect(statSync(path).size).toBeLessThan(2e6);
    const { config, weights } = await loadModel(half);
    const archive = await openSafetensors(await openFile(`${path}.data`));
    expect(JSON.parse(archive.metadata.config)).toEqual(config);
    for (const [name, value] of weights) expect(digest(await archive.read(name))).toBe(digest(value));
    await archive.close();
  });

  it('is found whole or not at all', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'model.onnx');
    const result = await runInProcess(['convert', golden('image-tiny.pt'), path], AbortSignal.abort());
    expect(result.code).not.toBe(0);
    expect([path, `${path}.data`].map(existsSync)).toEqual([false, false]);
  });
});
