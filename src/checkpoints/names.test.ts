import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { CheckpointError } from '../errors.ts';
import { BUNDLED_CLASSIFIERS, BUNDLED_MODELS, DEFAULT_MODELS } from './bundled-names.ts';
import { loadModel, openAutoencoder, openModel } from './index.ts';

async function message(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => expect.fail('should have been refused'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error.message;
}

/** Bytes to compare: element by element takes a quarter of a minute. */
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);

describe('the name of a bundled model', () => {
  it.each(BUNDLED_MODELS)('stands for its path: %s', async (name) => {
    const [named, found] = [await loadModel(name), await loadModel(`models/${name}`)];
    const { weights, ...rest } = named;
    const { weights: others, ...expected } = found;
    expect(rest).toEqual(expected);
    expect([...weights.keys()]).toEqual([...others.keys()]);
    const differs = [...weights].filter(([key, { data }]) =>
      Buffer.compare(bytesOf(data), bytesOf(others.get(key)!.data)),
    );
    expect(differs).toEqual([]);
    expect(named.tuned).toBeDefined();
  });

  it('is that of a folder of models, and each folder with weights has one', () => {
    const folders = readdirSync('models').filter((name) => existsSync(`models/${name}/model.safetensors`));
    const classifiers = BUNDLED_CLASSIFIERS.map((name) => `${name}-classifier`);
    expect([...BUNDLED_MODELS, ...classifiers].sort()).toEqual(folders.sort());
    expect(BUNDLED_MODELS).toEqual(expect.arrayContaining(Object.values(DEFAULT_MODELS)));
  });

  it('stands for a path of that name, if there is one', async () => {
    const folder = temporaryFolder();
    await saveTiny(join(folder, 'fashion-mnist'), tinyPixels);
    const here = process.cwd();
    process.chdir(folder);
    onTestFinished(() => process.chdir(here));
    expect((await loadModel('fashion-mnist')).config).toEqual(tinyPixels);
  });
});

describe('a name of the hub where a path is expected', () => {
  it.each(['ACDiT-XL-img', 'ACDiT-H-vid.pt', 'owner/repo', 'owner/repo@refs/pr/1/a.pt', 'hf://owner/repo'])(
    'is recognized: %s',
    async (name) => {
      const hint = 'fetch it first, with fetchModel of acdit/hub, and give the path that it returns';
      expect(await message(loadModel(name))).toContain(hint);
      expect(await message(openModel(name))).toContain(hint);
      expect(await message(openAutoencoder(name))).toContain('with fetchAutoencoder of acdit/hub');
    },
  );

  it.each(['./owner/repo', '/owner/repo', '../repo', 'models/mine', 'mine.pt', 'runs'])(
    'is not seen in %s',
    async (path) => {
      expect(await message(loadModel(path))).not.toContain('fetch');
      expect(await message(openAutoencoder(path))).not.toContain('fetch');
    },
  );
});
