/**
 * @file Draws the images that the avatar model is trained on: endless variations of DiceBear's styles, a folder per class.
 * Installs the generators in .cache/avatars, since only this command needs them. Images that exist are kept, so a run
 * that was stopped resumes. The same seeds give the same images.
 * Usage: npm run avatars -- DIR [images per class (default: 20000)] [--size PIXELS] [--first N]
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { readdir, rename, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { get } from '../src/at.ts';
import { AVATAR_STYLES, type AvatarStyle, licenceAddress } from './avatars/styles.ts';

/** Later versions need Node 22. */
const VERSION = '9.4.3';
const CACHE = resolve('.cache/avatars');
/** Pixels that the drawing has per pixel of the image, along each side. */
const OVERSAMPLING = 2;
/** Images that are drawn at once: sharp has its own threads. */
const AT_ONCE = 8;
/** Background colours. */
const BACKGROUNDS = [
  ...['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf', 'c7ecd4'],
  ...['fff2b2', 'f4b6c2', 'a3d5d3', 'e2e2e2', '8fb8de', 'ffffff'],
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** Pixels along the side. */
    size: { type: 'string', default: '64' },
    /** Number of the first image: a different range gives different images, for tests and classifiers. */
    first: { type: 'string', default: '0' },
  },
});
const [folder, count = '20000'] = positionals;
const [perClass, size, first] = [Number(count), Number(values.size), Number(values.first)];
if (folder === undefined) {
  console.error(
    'usage: npm run avatars -- DIR [images per class (default: 20000)] [--size PIXELS] [--first N]',
  );
  process.exit(2);
}

/** What a generator says of itself. */
interface Generator {
  readonly meta: {
    readonly title: string;
    readonly creator: string;
    readonly source: string;
    readonly license: { readonly name: string; readonly url: string };
  };
}

/** The part of DiceBear that is used here. */
interface DiceBear {
  readonly createAvatar: (style: Generator, options: object) => { toString(): string };
  readonly styles: Readonly<Record<string, Generator>>;
}

async function openGenerators(): Promise<DiceBear> {
  if (!existsSync(join(CACHE, 'node_modules/@dicebear/collection'))) {
    mkdirSync(CACHE, { recursive: true });
    const packages = [`@dicebear/core@${VERSION}`, `@dicebear/collection@${VERSION}`];
    execFileSync('npm', ['install', '--prefix', CACHE, '--no-audit', '--no-fund', ...packages], {
      stdio: 'inherit',
    });
  }
  const from = createRequire(join(CACHE, 'package.json'));
  const [core, styles] = await Promise.all(
    ['core', 'collection'].map((name) => import(pathToFileURL(from.resolve(`@dicebear/${name}`)).href)),
  );
  return { createAvatar: core.createAvatar, styles };
}

/** Returns the generator of a style. @throws {Error} if its author or licence is not the one that is recorded here. */
function generatorOf({ styles }: DiceBear, style: AvatarStyle): Generator {
  const generator = get(styles, style.generator);
  const { title, creator, source, license } = generator.meta;
  const found = [title, creator, source, license.name, license.url];
  const recorded = [style.title, style.author, style.source, style.licence, licenceAddress(style)];
  if (found.join() === recorded.join()) return generator;
  throw new Error(`${style.name}: expected ${recorded.join(', ')}; the generator states ${found.join(', ')}`);
}

/** Draws the missing images of a class. */
async function drawClass(
  { createAvatar }: DiceBear,
  generator: Generator,
  style: AvatarStyle,
  into: string,
): Promise<void> {
  mkdirSync(into, { recursive: true });
  const present = new Set(await readdir(into));
  const numbers = Array.from({ length: perClass }, (_, i) => first + i);
  const missing = numbers.filter((number) => !present.has(fileName(number)));
  const draw = async (number: number): Promise<void> => {
    const svg = createAvatar(generator, {
      seed: `${style.name} ${number}`,
      size: OVERSAMPLING * size,
      backgroundColor: BACKGROUNDS,
    }).toString();
    const image = sharp(Buffer.from(svg)).resize(size, size).flatten({ background: '#fff' });
    const file = join(into, fileName(number));
    await writeFile(`${file}.part`, await image.png().toBuffer());
    await rename(`${file}.part`, file);
  };
  for (let i = 0; i < missing.length; i += AT_ONCE)
    await Promise.all(missing.slice(i, i + AT_ONCE).map(draw));
}

function fileName(number: number): string {
  return `${String(number).padStart(7, '0')}.png`;
}

const dicebear = await openGenerators();
const generators = AVATAR_STYLES.map((style) => ({ style, generator: generatorOf(dicebear, style) }));
for (const { style, generator } of generators) {
  const started = performance.now();
  await drawClass(dicebear, generator, style, join(folder, style.name));
  console.log(`${style.name}: ${perClass} images, ${Math.round((performance.now() - started) / 1000)} s`);
}
