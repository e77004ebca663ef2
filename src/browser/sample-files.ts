/** @file Samples as files in a page or a worker. */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import type { FileContent, FileFormat, SampleFiles } from '../generate/sample.ts';
import { formatOfPath, mediaType } from '../generate/sample.ts';
import { enlarge, legibleScale } from '../media/pixels.ts';
import { encodeCanvas, rgbaFromImage } from './pixels.ts';
import { encodeMp4 } from './video.ts';

/** What is used of a page. */
interface Page {
  readonly document?: {
    createElement(name: 'a'): { href: string; download: string; click(): void };
  };
}

/** Milliseconds for which the browser may read a file that it downloads. */
const DOWNLOAD_MS = 60_000;

/** @param videoEncoder see `OpenAcditOptions` */
export function browserFiles(videoEncoder: string | undefined): SampleFiles {
  const encode = async (content: FileContent, format: FileFormat): Promise<Uint8Array<ArrayBuffer>> => {
    const blob = await (content.kind === 'image' ? encodeStill : encodeVideo)(content, format);
    return new Uint8Array(await blob.arrayBuffer());
  };

  async function encodeStill({ frames }: FileContent, format: FileFormat): Promise<Blob> {
    const image = at(frames, 0);
    const type = mediaType('image', format);
    const blob = await encodeCanvas(image.width, image.height, rgbaFromImage(image), type);
    // A browser makes a PNG of a format that it cannot write.
    if (blob.type === type) return blob;
    throw new ArgumentError(`this browser cannot write ${format}; use png`);
  }

  async function encodeVideo({ frames, fps }: FileContent, format: FileFormat): Promise<Blob> {
    if (format !== 'mp4') throw new ArgumentError(`in a browser videos are written as mp4, not as ${format}`);
    if (videoEncoder === undefined) {
      throw new ArgumentError(
        'writing a video needs its encoder: give open the option videoEncoder, the URL of ' +
          'h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js',
      );
    }
    const scale = legibleScale(at(frames, 0));
    return encodeMp4(
      frames.map((frame) => enlarge(frame, scale)),
      fps,
      videoEncoder,
    );
  }

  return {
    encode,
    async save(content, path) {
      const { document } = globalThis as Page;
      if (!document) {
        throw new ArgumentError('a worker cannot save files; send the Blob of toBlob() to the page');
      }
      const format = formatOfPath(content.kind, path);
      const url = URL.createObjectURL(
        new Blob([await encode(content, format)], { type: mediaType(content.kind, format) }),
      );
      const link = document.createElement('a');
      Object.assign(link, { href: url, download: path.split('/').at(-1) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_MS);
    },
  };
}
