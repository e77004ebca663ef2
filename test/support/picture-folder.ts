/** @file Image folders made in code. */

import { join } from 'node:path';
import { blankImage, writePng } from '../../src/media/image.ts';

/** Write `perClass` pictures each of `red`, `green` and `blue`, with a gradient of its own. Gives the folder. */
export async function writePictureFolder(folder: string, perClass: number, side: number): Promise<string> {
  for (const [channel, name] of ['red', 'green', 'blue'].entries()) {
    for (let number = 0; number < perClass; number++) {
      const image = blankImage(side, side, 3);
      for (let i = 0; i < side * side; i++) {
        image.data[3 * i + channel] = 150 + ((i % side) * 100) / side;
        image.data[3 * i + ((channel + 1) % 3)] = (number * 100) / perClass;
      }
      await writePng(join(folder, name, `${String(number).padStart(3, '0')}.png`), image);
    }
  }
  return folder;
}
