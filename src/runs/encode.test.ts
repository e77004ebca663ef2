import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writePictureFolder } from '../../test/support/picture-folder.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { saveAutoencoder } from '../../test/support/tiny-autoencoder.ts';
import { openCpu } from '../runtime/node.ts';
import { encodeDataset } from './encode.ts';
import { type Reporter, silentReporter } from './reporter.ts';

it('encodes a folder of images shard by shard, and resumes after it was aborted', async () => {
  const folder = temporaryFolder();
  const events: unknown[] = [];
  const controller = new AbortController();
  const report: Reporter = {
    ...silentReporter,
    emit(event) {
      events.push(event);
      if ('shard' in event) controller.abort();
    },
  };
  const out = join(folder, 'latents');
  const options = {
    data: await writePictureFolder(join(folder, 'images'), 2, 16),
    vae: await saveAutoencoder(join(folder, 'vae')),
    out,
    device: openCpu({ threads: 1 }),
    size: 16,
    shardSize: 3,
    report,
  };
  await expect(encodeDataset({ ...options, signal: controller.signal })).rejects.toThrow('aborted');
  expect(events).toMatchObject([
    { kind: 'start', images: 6, done: 0, shards: 2, latentShape: [4, 8, 8] },
    { kind: 'shard', shard: 0 },
    { kind: 'interrupted', folder: out, shards: 1 },
  ]);
  expect(await encodeDataset(options)).toMatchObject({ folder: out, samples: 6, skipped: 0 });
  expect(events.slice(3)).toMatchObject([{ kind: 'start', done: 3 }, { shard: 1 }, { kind: 'done' }]);
  await expect(encodeDataset({ ...options, size: 15 })).rejects.toThrow('size must be a multiple of 2');
});
