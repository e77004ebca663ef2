/** @file `acdit convert`: round trips, a model trained here, what is refused, and that nothing is left half-written. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { loadModel, openModel } from '../../src/checkpoints/load.ts';
import type { WeightsChoice } from '../../src/checkpoints/official.ts';
import { saveModel } from '../../src/checkpoints/save.ts';
import { runCli } from '../../src/cli/run.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';
import {
  openTorchCheckpoint,
  type TorchNamespace,
  type TorchValue,
} from '../../src/formats/torch/checkpoint.ts';
import { type TorchInput, writeTorchCheckpoint } from '../../src/formats/torch/writer.ts';
import { openFile } from '../../src/io/file-source.ts';
import { blankImage, writePng } from '../../src/media/image.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { checkWeights } from '../../src/models/acdit/weights.ts';
import { weightBits } from '../../src/runtime/byte-products.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { toFloat32, toFloatType } from '../../src/tensor/convert.ts';
import { elementCount, float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { type CliResult, expectBadInput, lastLine, runInProcess, spawnCli } from '../support/cli.ts';
import { digest, digests } from '../support/digest.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { golden } from '../support/golden.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyLatents, tinyPixels } from '../support/tiny-model.ts';

const inFolder = folderOfEachTest();
const convert = (...args: string[]): Promise<CliResult> => runInProcess(['convert', ...args]);

async function converted(...args: string[]): Promise<CliResult> {
  const result = await convert(...args);
  expect(result).toMatchObject({ code: 0 });
  return result;
}

const configOf = (model: string): unknown => JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
const sameBytes = (one: string, other: string): boolean => readFileSync(one).equals(readFileSync(other));

/** A model's configuration and digests of its weights. */
async function summary(path: string, choice?: WeightsChoice) {
  const { config, weights } = await loadModel(path, { weights: choice });
  return { config, weights: digests(weights) };
}

async function trainerArguments(path: string): Promise<TorchNamespace> {
  const { value, close } = await openTorchCheckpoint(await openFile(path));
  await close();
  return (value as Map<string, TorchValue>).get('args') as TorchNamespace;
}

/** Shapes of a checkpoint's tensors, and its arguments. */
async function opened(path: string) {
  const { archive } = await openModel(path);
  const shapes = Object.fromEntries(archive.names.map((name) => [name, archive.info(name).shape.join()]));
  await archive.close();
  return { shapes, args: Object.fromEntries((await trainerArguments(path)).attributes) };
}

describe('acdit convert', () => {
  const models: [string, AcditConfig][] = [
    ['of latents', tinyLatents],
    ['of pixels, with names of classes', tinyPixels],
    [
      'with all a configuration may hold',
      { ...tinyLatents, guidance: 1.5, downsampling: 16, classNames: ['a', 'ü', '"'] },
    ],
  ];

  it.each(models)('gives back a model %s: folder, .pt, folder', async (_, config) => {
    await saveTiny(inFolder('model'), config);
    await converted(inFolder('model'), inFolder('model.pt'));
    await converted(inFolder('model.pt'), inFolder('again'));
    expect(configOf(inFolder('again'))).toEqual(configOf(inFolder('model')));
    expect(sameBytes(inFolder('again', 'model.safetensors'), inFolder('model', 'model.safetensors'))).toBe(
      true,
    );
    await converted(inFolder('model.pt'), inFolder('again.pt'));
    expect(sameBytes(inFolder('again.pt'), inFolder('model.pt'))).toBe(true);
  });

  it('makes a folder of an official checkpoint, and the same checkpoint of that', async () => {
    const { code, stdout, stderr } = await spawnCli(['convert', golden('video-tiny.pt'), inFolder('model')]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${inFolder('model')}\n` });
    expect(stderr).toMatch(/^convert \d+\/39.*\n(.*\n)*39 tensors, 2.7 MB, in \ds\n$/);
    expect(await summary(inFolder('model'))).toEqual(await summary(golden('video-tiny.pt')));
    await converted(inFolder('model'), inFolder('model.pt'));
    const [ours, official] = [await opened(inFolder('model.pt')), await opened(golden('video-tiny.pt'))];
    expect(ours).toEqual({ ...official, args: { ...official.args, model: 'ACDiT-2x128' } });
  });

  it('samples the same from every kind of file', async () => {
    await converted(golden('image-tiny.pt'), inFolder('model'));
    await converted(inFolder('model'), inFolder('model.pt'));
    const latents: Buffer[] = [];
    for (const model of [golden('image-tiny.pt'), inFolder('model'), inFolder('model.pt')]) {
      const out = ['--latents', inFolder('latents.npy'), '--no-decode', '--out', inFolder('samples')];
      const result = await runInProcess([
        'sample',
        model,
        '--labels',
        '3',
        '--steps',
        '2',
        ...out,
        '--overwrite',
      ]);
      expect(result).toMatchObject({ code: 0 });
      latents.push(readFileSync(inFolder('latents.npy')));
    }
    expect(latents[1]).toEqual(latents[0]);
    expect(latents[2]).toEqual(latents[0]);
  });

  it.each([
    ['fp16', 'float16'],
    ['bf16', 'bfloat16'],
    ['fp32', 'float32'],
  ] as const)('stores weights as %s', async (flag, dtype) => {
    await saveTiny(inFolder('model'), tinyLatents);
    for (const out of ['out', 'out.pt']) {
      await converted(inFolder('model'), inFolder(out), '--dtype', flag);
      const { config, archive } = await openModel(inFolder(out));
      expect(config).toEqual(tinyLatents);
      for (const [name, value] of formulaWeights(tinyLatents)) {
        expect(digest(await archive.read(name))).toBe(digest(toFloatType(value, dtype)));
      }
      await archive.close();
    }
  });

  it('keeps half floats as they are, and makes fp32 of them exactly', async () => {
    await saveModel(inFolder('half'), tinyLatents, formulaWeights(tinyLatents), { dtype: 'float16' });
    await converted(inFolder('half'), inFolder('half.pt'));
    const { archive } = await openModel(inFolder('half.pt'));
    expect(archive.info('x_embedder.weight').dtype).toBe('float16');
    await archive.close();
    await converted(inFolder('half.pt'), inFolder('full'), '--dtype', 'fp32');
    const full = await openSafetensors(await openFile(inFolder('full', 'model.safetensors')));
    const half = await openSafetensors(await openFile(inFolder('half', 'model.safetensors')));
    for (const name of half.names) {
      expect(digest(await full.read(name))).toBe(digest(toFloat32(await half.read(name))));
    }
    await Promise.all([full.close(), half.close()]);
  });

  it('takes the average or the last weights of a training checkpoint', async () => {
    const { attributes } = await trainerArguments(golden('image-tiny.pt'));
    const model = (await loadModel(golden('image-tiny.pt'))).weights;
    const ema = new Map(
      [...model].map(([name, value]) => [name, { ...value, data: value.data.map((x) => x / 2) }]),
    );
    const entries = { model, ema, opt: new Map(), args: { kind: 'namespace', entries: attributes } };
    const path = inFolder('training.pt');
    await writeTorchCheckpoint(path, new Map(Object.entries(entries)) as ReadonlyMap<string, TorchInput>);
    for (const [choice, expected] of [
      ['ema', ema],
      ['model', model],
    ] as const) {
      await converted(path, inFolder(`${choice}.pt`), '--weights', choice);
      expect((await summary(inFolder(`${choice}.pt`))).weights).toEqual(digests(expected));
    }
  });

  it('tells what happens as JSON lines', async () => {
    await saveTiny(inFolder('model'), tinyPixels);
    const { stdout, stderr } = await converted(inFolder('model'), inFolder('x.pt'), '--json');
    expect(stderr).toBe('');
    const [start, done] = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(start).toMatchObject({ kind: 'start', to: inFolder('x.pt'), format: 'pt', tensors: 25 });
    expect(done).toMatchObject({
      kind: 'done',
      to: inFolder('x.pt'),
      bytes: start.bytes,
      notes: expect.any(Array),
    });
    expect(done.notes.join()).toContain('num_classes=3');
  });

  it('notes what the official code must be told', async () => {
    await saveTiny(inFolder('model'), tinyPixels);
    const { stdout, stderr } = await converted(inFolder('model'), inFolder('x.pt'));
    expect(stderr).toMatch(/^note: to load it with the official code: .*num_classes=3/m);
    expect(stdout).toBe(`${inFolder('x.pt')}\n`);
  });
});

describe('a model trained here', () => {
  /** Ten classes of pictures that become 8 x 8 latents, as image-tiny was trained on. */
  async function writePictures(): Promise<void> {
    for (let label = 0; label < 10; label++) {
      const image = blankImage(64, 64, 3);
      image.data.fill(20 * label);
      await writePng(inFolder('images', `class${label}`, '0.png'), image);
    }
  }

  it('has the names, shapes and arguments of the official checkpoint of its size', async () => {
    await writePictures();
    const vae = ['--vae', golden('vae-tiny'), '--size', '64', '--no-flip', '--quiet', '--threads', '1'];
    const encode = ['encode', inFolder('images'), inFolder('latents'), ...vae];
    expect(await runInProcess(encode)).toMatchObject({ code: 0 });
    const recipe = {
      model: { layers: 2, hidden: 128, heads: 2, patch: 1, blocks: 4 },
      data: { path: inFolder('latents'), flip: false },
      training: { steps: 2, batch: 2, ema: 0.5, schedule: 'constant' },
      output: { folder: inFolder('run') },
    };
    writeFileSync(inFolder('recipe.json'), JSON.stringify(recipe));
    const train = ['train', inFolder('recipe.json'), '--quiet', '--threads', '1'];
    expect(await runInProcess(train)).toMatchObject({ code: 0 });

    await converted(inFolder('run'), inFolder('run.pt'));
    const [ours, official] = [await opened(inFolder('run.pt')), await opened(golden('image-tiny.pt'))];
    expect(ours.shapes).toEqual(official.shapes);
    const { acdit_config, ...args } = ours.args;
    expect(args).toEqual({ ...official.args, model: 'ACDiT-2x128' });
    expect(JSON.parse(acdit_config as string).classNames).toHaveLength(10);
    await converted(inFolder('run.pt'), inFolder('again'));
    expect(await summary(inFolder('again'))).toEqual(await summary(inFolder('run')));

    // The average by default, or the weights as trained last.
    await converted(inFolder('run'), inFolder('last'), '--weights', 'model');
    expect(await summary(inFolder('last'))).toEqual(await summary(inFolder('run'), 'model'));
    expect(await summary(inFolder('last'))).not.toEqual(await summary(inFolder('run')));
  });
});

describe('OUT', () => {
  beforeEach(async () => {
    await saveTiny(inFolder('model'), tinyLatents);
  });

  async function expectBadInput(args: readonly string[], ...messages: string[]): Promise<void> {
    const before = readdirSync(inFolder(), { recursive: true }).sort();
    const { code, stdout, stderr } = await convert(...args);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    for (const message of messages) expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(readdirSync(inFolder(), { recursive: true }).sort()).toEqual(before);
  }

  it('is named, and is a kind of file that is known', async () => {
    const [model] = [inFolder('model')];
    await expectBadInput([model], 'convert needs IN and OUT');
    await expectBadInput([], 'convert needs IN and OUT');
    await expectBadInput(
      [model, inFolder('x.ckpt')],
      "cannot write '.ckpt' files; OUT must end in .pt or .onnx",
    );
    await expectBadInput([model, inFolder('x.safetensors')], "'.safetensors'");
    await expectBadInput([model, inFolder('x.pt'), 'y'], "unexpected argument 'y'");
    await expectBadInput([model, inFolder('x.pt'), '--dtype', 'fp61'], "got 'fp61'; did you mean fp");
    await expectBadInput([model, inFolder('x.onnx'), '--dtype', 'fp16'], 'does not go with .onnx');
    await expectBadInput([model, inFolder('x.pt'), '--weights', 'emma'], 'did you mean ema?');
    for (const name of ['v1.5', 'x.ckpt/']) await converted(model, inFolder(name));
    expect(existsSync(inFolder('x.ckpt', 'config.json'))).toBe(true);
  });

  it('goes where there is a folder', async () => {
    await expectBadInput(
      [inFolder('model'), inFolder('none', 'x.pt')],
      'there is no folder',
      'create it first',
    );
    await expectBadInput([inFolder('model'), inFolder('none', 'x')], 'there is no folder');
    writeFileSync(inFolder('file'), '');
    await expectBadInput([inFolder('model'), inFolder('file', 'x.pt')], 'there is no folder');
  });

  it.each(['x', 'x.pt', 'x.onnx'])('%s is replaced only if told so', async (name) => {
    const other = await saveTiny(inFolder('other'), { ...tinyLatents, classes: 5 });
    await converted(inFolder('model'), inFolder(name));
    await expectBadInput([other, inFolder(name)], 'exists; give --overwrite to replace it');
    await converted(other, inFolder(name), '--overwrite');
    if (name !== 'x.onnx') expect((await loadModel(inFolder(name))).config.classes).toBe(5);
    else expect(readFileSync(inFolder('x.onnx.data')).includes('\\"classes\\":5')).toBe(true);
  });

  it('may be where IN is', async () => {
    await converted(inFolder('model'), inFolder('model'), '--overwrite', '--dtype', 'fp16');
    const { archive } = await openModel(inFolder('model'));
    expect(archive.info('x_embedder.weight').dtype).toBe('float16');
    await archive.close();
  });

  it('is not put among other files, nor in the place of something else', async () => {
    mkdirSync(inFolder('documents'));
    writeFileSync(inFolder('documents', 'letter.txt'), '');
    await expectBadInput([inFolder('model'), inFolder('documents'), '--overwrite'], 'holds other files');
    mkdirSync(inFolder('x.pt'));
    await expectBadInput([inFolder('model'), inFolder('x.pt'), '--overwrite'], 'exists and is a folder');
    writeFileSync(inFolder('y'), '');
    await expectBadInput([inFolder('model'), inFolder('y'), '--overwrite'], 'exists and is a file');
    writeFileSync(inFolder('z.onnx.data'), '');
    await expectBadInput([inFolder('model'), inFolder('z.onnx')], 'z.onnx.data exists');
    mkdirSync(inFolder('empty'));
    await converted(inFolder('model'), inFolder('empty'));
  });

  it('is not begun for a bad IN', async () => {
    await expectBadInput([inFolder('none'), inFolder('x')], 'no such model');
    writeFileSync(inFolder('foreign.pt'), 'this is no checkpoint, but long enough to be looked at as one');
    await expectBadInput([inFolder('foreign.pt'), inFolder('x')], 'foreign.pt: is not a PyTorch checkpoint');
    await expectBadInput([golden('pickle-zoo.pt'), inFolder('x')], 'pickle-zoo.pt');
    await expectBadInput([golden('image-tiny.npz'), inFolder('x')], 'image-tiny.npz');
    cpSync(inFolder('model'), inFolder('cut'), { recursive: true });
    writeFileSync(
      inFolder('cut', 'model.safetensors'),
      readFileSync(inFolder('cut', 'model.safetensors')).subarray(0, 9000),
    );
    await expectBadInput([inFolder('cut'), inFolder('x')], 'model.safetensors');
    const wide: AcditConfig = { ...tinyLatents, height: 4, width: 16, squareBlocks: false };
    await saveTiny(inFolder('wide'), wide);
    await expectBadInput([inFolder('wide'), inFolder('x.pt')], 'square images only');
    await expectBadInput(
      [golden('image-tiny.pt'), inFolder('x'), '--weights', 'ema'],
      "holds no 'ema' weights",
    );
  });

  it.each(['x', 'x.pt', 'x.onnx'])('%s is not left half-written when interrupted', async (name) => {
    const controller = new AbortController();
    let stderr = '';
    const terminal = {
      // The first event comes when all is checked and nothing is written.
      stdout: {
        write: (text: string) => text.includes('"start"') && controller.abort(new Error('interrupted')),
      },
      stderr: { write: (text: string) => (stderr += text) },
      signal: controller.signal,
    };
    const code = await runCli(['convert', inFolder('model'), inFolder(name), '--json'], terminal);
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    expect(readdirSync(inFolder())).toEqual(['model']);
  });

  it.each(['x', 'x.pt', 'x.onnx'])('%s is not left half-written on a full disk', async (name) => {
    const handle = await open(inFolder('model', 'config.json'));
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    const { write } = prototype;
    let writes = 0;
    const spy = vi.spyOn(prototype, 'write').mockImplementation(function (
      this: FileHandle,
      ...args: unknown[]
    ) {
      if (++writes > 5) throw Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' });
      return Reflect.apply(write, this, args);
    } as typeof write);
    try {
      const { code, stderr } = await convert(inFolder('model'), inFolder(name), '--quiet');
      expect(lastLine(stderr)).toMatch(/^acdit: cannot write .*: the disk is full; free some space$/);
      expect({ code, lines: stderr.trimEnd().split('\n').length }).toEqual({ code: 2, lines: 1 });
    } finally {
      spy.mockRestore();
    }
    expect(writes).toBeGreaterThan(5);
    expect(readdirSync(inFolder())).toEqual(['model']);
  });

  it('is as large as its weights', async () => {
    await converted(inFolder('model'), inFolder('half.pt'), '--dtype', 'fp16');
    const count = [...formulaWeights(tinyLatents).values()].reduce((sum, { data }) => sum + data.length, 0);
    expect(statSync(inFolder('half.pt')).size).toBeLessThan(2 * count + 20_000);
  });
});

describe('acdit convert --dtype int8', () => {
  const latentsOf = async (model: string, ...args: string[]): Promise<Buffer> => {
    const file = inFolder('latents.npy');
    const common = ['--labels', '1,2', '--steps', '3', '--seed', '4', '--overwrite', '--latents', file];
    const result = await runInProcess(['sample', model, ...common, ...args, '--out', inFolder('samples')]);
    expect(result).toMatchObject({ code: 0 });
    return readFileSync(file);
  };

  it('writes a model that is sampled in 8 bits as its rounded weights are, bit for bit', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    await converted(model, inFolder('small'), '--dtype', 'int8');
    await converted(inFolder('small'), inFolder('rounded'), '--dtype', 'fp32');
    const inEightBits = await latentsOf(inFolder('rounded'), '--precision', 'int8');
    expect(await latentsOf(inFolder('small'))).toEqual(inEightBits);
    expect(await latentsOf(inFolder('small'), '--precision', 'fp32')).not.toEqual(inEightBits);
    expect(await latentsOf(model)).not.toEqual(inEightBits);
  });

  it('is sampled as the original is if the processor takes all 8 bits', async ({ skip }) => {
    const device = openCpu();
    const bits = await weightBits(device);
    await device.dispose();
    skip(bits === 7, 'this processor rounds the stored weights once more, to 7 bits');
    const model = await saveTiny(inFolder('model'), tinyPixels);
    await converted(model, inFolder('small'), '--dtype', 'int8');
    expect(await latentsOf(inFolder('small'))).toEqual(await latentsOf(model, '--precision', 'int8'));
  });

  it('stores products in a byte per weight and keeps the others', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    await converted(model, inFolder('small'), '--dtype', 'int8');
    const stored = await openSafetensors(await openFile(inFolder('small', 'model.safetensors')));
    const types = new Map(stored.names.map((name) => [name, stored.info(name).dtype]));
    await stored.close();
    expect(
      [...types]
        .filter(([, dtype]) => dtype === 'int8')
        .map(([name]) => name)
        .sort(),
    ).toEqual(['attn.proj', 'attn.qkv', 'mlp.fc1', 'mlp.fc2'].map((name) => `blocks.0.${name}.weight`));
    expect(types.get('blocks.0.attn.qkv.weight.scales')).toBe('float32');
    expect(types.get('blocks.0.adaLN_modulation.1.weight')).toBe('float32');
  });

  it('gives the same file again after a detour through float32', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    await converted(model, inFolder('small'), '--dtype', 'int8');
    await converted(inFolder('small'), inFolder('large'), '--dtype', 'fp32');
    await converted(inFolder('large'), inFolder('again'), '--dtype', 'int8');
    expect(sameBytes(inFolder('again/model.safetensors'), inFolder('small/model.safetensors'))).toBe(true);
    const { weights } = await loadModel(inFolder('small'));
    expect(digests(weights)).toEqual((await summary(inFolder('large'))).weights);
  });

  it('names the version that it needs to versions that do not know it', async () => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    await converted(model, inFolder('small'), '--dtype', 'int8');
    const stored = await openSafetensors(await openFile(inFolder('small', 'model.safetensors')));
    const shapes = new Map(stored.names.map((name) => [name, stored.info(name).shape]));
    await stored.close();
    // What versions before 0.2 do: they do not look for a format, but refuse tensors that they do not know.
    expect(() => checkWeights(tinyPixels, shapes)).toThrow(
      'weights do not fit the model: unknown: stored in 8 bits: needs acdit 0.2.0 or newer, blocks.0.',
    );
    const config = JSON.parse(readFileSync(inFolder('small/config.json'), 'utf8'));
    expect(config).toMatchObject({ format: 2, needs: '0.2.0' });
    // Folders without such weights are as they were.
    await converted(inFolder('small'), inFolder('large'), '--dtype', 'fp32');
    expect(readFileSync(inFolder('large/config.json'), 'utf8')).toBe(
      readFileSync(join(model, 'config.json'), 'utf8'),
    );
  });

  it.each([
    [{ format: 3, needs: '0.3.0' }, 'this folder needs acdit 0.3.0 or newer: its format is 3'],
    [{ format: 99 }, 'this folder needs a newer version of acdit: its format is 99'],
    [{ format: 'new', needs: '9\n\u001b[2J' }, 'this folder needs acdit 9'],
  ])('is refused in one line if its format is newer: %j', async (newer, message) => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    // What else it says may be unknown too.
    const config = { ...newer, modelType: 'acdit', layers: 'many' };
    writeFileSync(join(model, 'config.json'), JSON.stringify(config));
    for (const args of [
      ['info', model],
      ['sample', model],
      ['convert', model, inFolder('other')],
    ]) {
      expectBadInput(await runInProcess(args), message, 'and this version reads 2 at most');
    }
  });

  it('is not read without its scales', async () => {
    const weights = new Map<string, Tensor>(formulaWeights(tinyPixels));
    const name = 'blocks.0.attn.proj.weight';
    const { shape, data } = weights.get(name)!;
    weights.set(
      name,
      tensor(
        'int8',
        shape,
        Int8Array.from(data as Float32Array, (value) => 100 * value),
      ),
    );
    for (const scales of [undefined, [shape[0] + 1], [shape[0], 1]]) {
      const wrong = scales && float32(scales, new Float32Array(elementCount(scales)).fill(1));
      await saveModel(
        inFolder('foreign'),
        tinyPixels,
        wrong ? new Map([...weights, [`${name}.scales`, wrong]]) : weights,
      );
      const { code, stderr } = await runInProcess(['info', inFolder('foreign')]);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('without the scales'),
      });
    }
  });

  it('refuses weights whose outliers would make others vanish', async () => {
    const weights = new Map<string, Tensor>(formulaWeights(tinyPixels));
    const name = 'blocks.0.mlp.fc2.weight';
    const { shape, data } = weights.get(name)!;
    weights.set(
      name,
      float32(
        shape,
        Float32Array.from(data as Float32Array, (value, i) => (i === 7 ? 1e4 : value)),
      ),
    );
    await saveModel(inFolder('model'), tinyPixels, weights);
    const { code, stderr } = await convert(inFolder('model'), inFolder('small/'), '--dtype', 'int8');
    expect([code, lastLine(stderr)]).toEqual([
      2,
      expect.stringContaining(`${name}: a row has values so large`),
    ]);
    expect(existsSync(inFolder('small'))).toBe(false);
  });

  it.each(['x.pt', 'x.onnx'])('does not write %s', async (name) => {
    const model = await saveTiny(inFolder('model'), tinyPixels);
    const { code, stderr } = await convert(model, inFolder(name), '--dtype', 'int8');
    expect(code).toBe(2);
    expect(stderr).toContain('--dtype int8 goes with a model folder only');
    expect(existsSync(inFolder(name))).toBe(false);
  });
});

describe('acdit convert --training', () => {
  it.each<[string, string[], string]>([
    [
      'a model without a training',
      ['model', 'x.pt'],
      'model: holds no state of a training; give the folder of a run',
    ],
    [
      'folders',
      ['model', 'x'],
      '--training converts the folder of a run to NAME.pt, or a training checkpoint',
    ],
    ['ONNX', ['model', 'x.onnx'], '--training converts the folder of a run to NAME.pt'],
    ['an element type', ['model', 'x.pt', '--dtype', 'bf16'], '--dtype does not go with a whole training'],
    [
      'a choice of weights',
      ['model', 'x.pt', '--weights', 'ema'],
      '--weights does not go with a whole training',
    ],
    [
      'an official checkpoint',
      ['model.pt', 'x'],
      'model.pt: holds no state of an optimizer (opt, optimizer, optimizer',
    ],
    [
      'a folder that exists',
      ['model.pt', 'model'],
      'model exists; a training is written to a new folder only',
    ],
    ['a file that exists', ['model.pt', 'note'], 'note exists; a training is written to a new folder only'],
    ['a checkpoint that exists', ['model', 'model.pt'], 'model.pt exists; give --overwrite to replace it'],
  ])('refuses %s', async (_, [from, to, ...flags], message) => {
    await saveTiny(inFolder('model'), tinyPixels);
    await converted(inFolder('model'), inFolder('model.pt'));
    writeFileSync(inFolder('note'), '');
    const before = readdirSync(inFolder('.'));
    const { code, stderr } = await convert(inFolder(from!), inFolder(to!), '--training', ...flags);
    expect([code, lastLine(stderr)]).toEqual([2, expect.stringContaining(message)]);
    expect(readdirSync(inFolder('.'))).toEqual(before);
  });
});
