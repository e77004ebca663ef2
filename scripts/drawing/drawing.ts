/** @file Draws plots: lines as SVG, and text in a pixel font, so that no font needs to be installed. */

import sharp from 'sharp';
import { blankImage, type Image, paste, textImage } from '../../src/media/index.ts';

const TEXT_SCALE = 2;

/** An SVG as an image. */
export async function rasterize(svg: string): Promise<Image> {
  const { data, info } = await sharp(Buffer.from(svg))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const image = blankImage(info.width, info.height, 3);
  image.data.set(data);
  return image;
}

/** Text with its anchor at (x, y): -1 right-aligned, 0 centred, 1 left-aligned. */
export function write(target: Image, text: string, x: number, y: number, align: -1 | 0 | 1): void {
  const image = textImage(text, { scale: TEXT_SCALE, channels: 3, color: 50 });
  const shift = { '-1': image.width, '0': image.width / 2, '1': 0 }[align];
  paste(target, image, Math.round(x - shift), Math.round(y - image.height / 2));
}
