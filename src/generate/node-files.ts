/** @file Samples as files on Node. */

import { dirname, extname } from 'node:path';
import { at } from '../at.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { encodeImage, type ImageFormat } from '../media/image.ts';
import { legibleScale } from '../media/pixels.ts';
import { encodeVideo, openVideoWriter, type VideoFormat } from '../media/video-writer.ts';
import { type FileContent, type FileFormat, formatOfPath, type SampleFiles } from './sample.ts';

/** Writes the files of `acdit sample`, except that an MP4 is compressed as a whole rather than block by block. */
export const nodeFiles: SampleFiles = {
  encode,
  async save(content, path) {
    const { kind, frames, fps } = content;
    if (kind === 'video' && extname(path) === '') {
      await makeFolders(dirname(path));
      const { width, height } = at(frames, 0);
      const writer = await openVideoWriter(path, { width, height, fps, format: 'png' });
      await writer.add(frames);
      return writer.finish();
    }
    const bytes = await encode(content, formatOfPath(kind, path));
    await makeFolders(dirname(path));
    await writeFileAtomically(path, (write) => write(bytes));
  },
};

async function encode({ kind, frames, fps }: FileContent, format: FileFormat) {
  const first = at(frames, 0);
  if (kind === 'image') return new Uint8Array(await encodeImage(first, format as ImageFormat));
  const { width, height } = first;
  const video = format as Exclude<VideoFormat, 'png'>;
  return encodeVideo(frames, video, { width, height, fps, scale: legibleScale(first) });
}
