import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { CheckpointError } from '../errors.ts';
import { loadModel, openAutoencoder, openModel } from './index.ts';

async function message(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => expect.fail('should have been refused'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error.message;
}

describe('the name of a bundled model', () => {
  it.each(['fashion-mnist', 'moving-fashion-mnist'])('stands for its path: %s', async (name) => {
    const [named, found] = [await loadModel(name), await loadModel(`models/${name}`)];
    expect(named).toEqual(found);
    expect(named.tuned).toBeDefined();
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
