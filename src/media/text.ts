/**
 * @file Text on images in a built-in 5x7 pixel font, so that grids can be labelled with no font installed.
 */

import { at } from '../at.ts';
import { blankImage, type Channels, type Image, paste } from './image.ts';

const FIRST_CODE = 0x20;
const GLYPH_WIDTH = 5;
const GLYPH_HEIGHT = 8;
/** One pixel column between letters. */
const ADVANCE = GLYPH_WIDTH + 1;

/** Printable ASCII from the space on: 5 columns per letter, two hexadecimal digits per column, top row lowest bit. */
const font = [
  '0000000000 00005f0000 0007000700 147f147f14 242a7f2a12 2313086462 3649552250 0005030000', //  !"#$%&'
  '001c224100 0041221c00 14083e0814 08083e0808 0050300000 0808080808 0060600000 2010080402', // ()*+,-./
  '3e5149453e 00427f4000 4261514946 2141454b31 1814127f10 2745454539 3c4a494930 0171090503', // 01234567
  '3649494936 064949291e 0036360000 0056360000 0814224100 1414141414 0041221408 0201510906', // 89:;<=>?
  '324979413e 7e1111117e 7f49494936 3e41414122 7f4141221c 7f49494941 7f09090901 3e4149497a', // @ABCDEFG
  '7f0808087f 00417f4100 2040413f01 7f08142241 7f40404040 7f020c027f 7f0408107f 3e4141413e', // HIJKLMNO
  '7f09090906 3e4151215e 7f09192946 4649494931 01017f0101 3f4040403f 1f2040201f 3f4038403f', // PQRSTUVW
  '6314081463 0708700807 6151494543 007f414100 0204081020 0041417f00 0402010204 4040404040', // XYZ[\]^_
  '0001020400 2054545478 7f48444438 3844444420 384444487f 3854545418 087e090102 18a4a4a47c', // `abcdefg
  '7f08040478 00447d4000 4080847d00 7f10284400 00417f4000 7c04180478 7c08040478 3844444438', // hijklmno
  'fc44444438 38444444fc 7c08040408 4854545420 043f444020 3c4040207c 1c2040201c 3c4030403c', // pqrstuvw
  '4428102844 1ca0a0a07c 4464544c44 0008364100 00007f0000 0041360800 0808102010', // xyz{|}~
]
  .join(' ')
  .split(' ')
  .map((columns) => columns.match(/../g)!.map((column) => Number.parseInt(column, 16)));

/** Colours and size of text. */
export interface TextOptions {
  /** Image pixels per font pixel (default: 1, which makes letters 7 high). */
  readonly scale?: number;
  /** Grey value of the letters (default: 0). */
  readonly color?: number;
  /** Grey value of the background (default: 255). */
  readonly background?: number;
  /** Default: 1. */
  readonly channels?: Channels;
}

/** One line of text as an image; what is not printable ASCII shows as "?". */
export function textImage(text: string, options: TextOptions = {}): Image {
  const { scale = 1, color = 0, background = 255, channels = 1 } = options;
  const letters = Array.from(text, (letter) => font[letter.codePointAt(0)! - FIRST_CODE] ?? at(font, 31));
  const width = Math.max(letters.length * ADVANCE - 1, 1) * scale;
  const image = blankImage(width, GLYPH_HEIGHT * scale, channels, background);
  const dot = blankImage(scale, scale, channels, color);
  letters.forEach((columns, i) => {
    columns.forEach((column, x) => {
      for (let y = 0; y < GLYPH_HEIGHT; y++) {
        if ((column >> y) & 1) paste(image, dot, (i * ADVANCE + x) * scale, y * scale);
      }
    });
  });
  return image;
}

/**
 * `image` with a label to the left of each of its rows of equal height, such as the class names of a grid with one
 * row a class. Labels are as large as the rows allow, up to `scale`.
 */
export function labelRows(image: Image, labels: readonly string[], options: TextOptions = {}): Image {
  const { background = 255 } = options;
  const rowHeight = image.height / labels.length;
  const scale = Math.max(1, Math.min(options.scale ?? 2, Math.floor(rowHeight / GLYPH_HEIGHT)));
  const texts = labels.map((label) => textImage(label, { ...options, scale, channels: image.channels }));
  const margin = Math.max(...texts.map(({ width }) => width)) + 4 * scale;
  const height = Math.max(image.height, ...texts.map(({ height }) => height));
  const out = blankImage(margin + image.width, height, image.channels, background);
  paste(out, image, margin, 0);
  texts.forEach((text, row) => {
    const middle = (row + 0.5) * rowHeight;
    const top = Math.min(Math.max(Math.round(middle - text.height / 2), 0), height - text.height);
    paste(out, text, margin - text.width - 2 * scale, top);
  });
  return out;
}
