import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';
import { loadModel } from '../checkpoints/load.ts';
import { convertModel } from './convert.ts';

it('converts a model to half precision and back, and keeps what exists', async () => {
  const folder = temporaryFolder();
  const from = await saveTiny(join(folder, 'model'), tinyPixels);
  const to = join(folder, 'half');
  const half = await convertModel({ from, to, dtype: 'float16' });
  expect(half).toMatchObject({ to, format: 'folder', notes: [] });
  const full = await convertModel({ from: to, to: join(folder, 'full/'), dtype: 'float32' });
  expect(full.bytes).toBe(2 * half.bytes);
  expect((await loadModel(join(folder, 'full'))).config).toEqual(tinyPixels);
  await expect(convertModel({ from, to })).rejects.toThrow('exists');
  await expect(convertModel({ from, to, overwrite: true, layout: { blocks: 5 } })).rejects.toMatchObject({
    field: 'layout.blocks',
  });
  await expect(convertModel({ from, to: join(folder, 'x.onnx'), dtype: 'float16' })).rejects.toMatchObject({
    field: 'dtype',
  });
});
