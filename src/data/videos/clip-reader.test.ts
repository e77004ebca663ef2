import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { writeClip } from '../../../test/support/clip-files.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { FormatError } from '../../errors.ts';
import { type ClipRequest, readClip } from './clip.ts';
import { processClipReader } from './clip-reader.ts';

// The process runs from its source too.
process.execArgv.push('--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href);

it('reads clips in a process as they are read here, several at once, until they are no longer wanted', async () => {
  const folder = temporaryFolder();
  const reader = processClipReader();
  onTestFinished(() => reader.close());
  const path = await writeClip(join(folder, 'clip.webp'), { frames: 12, side: 16 });
  const request = (place: number): ClipRequest => {
    return { path, frames: 3, interval: 2, size: 8, channels: 1, place };
  };
  const places = [0, 0.3, 0.6, 0.9];
  const read = await Promise.all(places.map((place) => reader.read(request(place))));
  expect(read).toEqual(await Promise.all(places.map((place) => readClip(request(place)))));

  const broken = join(folder, 'broken.webp');
  writeFileSync(broken, 'no video');
  await expect(reader.read({ ...request(0), path: broken })).rejects.toThrow(FormatError);

  const controller = new AbortController();
  const unwanted = reader.read(request(0), controller.signal);
  controller.abort(new Error('enough'));
  await expect(unwanted).rejects.toThrow('enough');

  await Promise.all([reader.close(), reader.close()]);
  expect(await reader.read(request(0))).toEqual(read[0]); // in a new process
});
