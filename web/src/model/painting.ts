/** @file Blocks as pixels. */

import { at } from '../../../src/at.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Decoded } from './decoded.ts';
import { enlarged, type Frame, frameOf } from './frame.ts';
import type { LiveBlock } from './run.ts';
import { blockLength, blockMaps, imagesOf } from './values.ts';

/** All frames; where a block is missing they are transparent. Latents are shown decoded where that is done. */
export function paintFrames(
  config: AcditConfig,
  blocks: readonly (Float32Array | undefined)[],
  live?: LiveBlock,
  decoded?: Decoded,
): Frame[] {
  const length = blockLength(config);
  const values = new Float32Array(config.blocks * length);
  const there = blocks.map(
    (block, index) => block ?? (live?.block === index ? live.values : live?.others?.[index]),
  );
  for (const [index, block] of there.entries()) if (block) values.set(block, index * length);
  const maps = blockMaps(config);
  return imagesOf(config, values).map((image, frame) => {
    const painted = frameOf(image);
    const map = at(maps, frame);
    map.forEach((block, pixel) => {
      if (!there[block]) painted.data[4 * pixel + 3] = 0;
    });
    const isDecoded = (block: number): boolean =>
      decoded !== undefined && block < decoded.blocks && blocks[block] !== undefined;
    return decoded ? overlay(painted, decoded, frame, (pixel) => isDecoded(at(map, pixel))) : painted;
  });
}

/** Latents enlarged to the size of decoded images, which replace them where `shows` holds. */
function overlay(
  latents: Frame,
  { frames }: Decoded,
  index: number,
  shows: (latent: number) => boolean,
): Frame {
  const factor = at(frames, 0).width / latents.width;
  const out = enlarged(latents, factor);
  const picture = frames[index];
  if (!picture) return out;
  for (let pixel = 0; pixel < out.width * out.height; pixel++) {
    const [x, y] = [pixel % out.width, Math.floor(pixel / out.width)];
    if (!shows(Math.floor(y / factor) * latents.width + Math.floor(x / factor))) continue;
    out.data.set(picture.data.subarray(4 * pixel, 4 * pixel + 4), 4 * pixel);
  }
  return out;
}
