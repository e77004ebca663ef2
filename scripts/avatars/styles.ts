/** @file The styles of avatars, one per class of the model, with their authors. */

/** Addresses of the licences, as the generators' packages name them; undefined: the source states it. */
const LICENCES = {
  'CC0 1.0': 'https://creativecommons.org/publicdomain/zero/1.0/',
  'CC BY 4.0': 'https://creativecommons.org/licenses/by/4.0/',
  'Free for personal and commercial use': undefined,
} as const;

/** One of DiceBear's generators. */
export interface AvatarStyle {
  /** Name of the class. */
  readonly name: string;
  /** Export of `@dicebear/collection`. */
  readonly generator: string;
  /** What its author calls the design. */
  readonly title: string;
  readonly author: string;
  readonly licence: keyof typeof LICENCES;
  readonly source: string;
}

/** Styles that look different from each other and good when small, and whose licences allow this use. */
export const AVATAR_STYLES: readonly AvatarStyle[] = [
  {
    name: 'robot',
    generator: 'bottts',
    title: 'Bottts',
    author: 'Pablo Stanley',
    licence: 'Free for personal and commercial use',
    source: 'https://bottts.com/',
  },
  {
    name: 'pixel face',
    generator: 'pixelArt',
    title: 'Pixel Art',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.figma.com/community/file/1198754108850888330',
  },
  {
    name: 'emoji',
    generator: 'funEmoji',
    title: 'Fun Emoji Set',
    author: 'Davis Uche',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/968125295144990435',
  },
  {
    name: 'ghost',
    generator: 'thumbs',
    title: 'Thumbs',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.dicebear.com',
  },
  {
    name: 'ink portrait',
    generator: 'lorelei',
    title: 'Lorelei',
    author: 'Lisa Wischofsky',
    licence: 'CC0 1.0',
    source: 'https://www.figma.com/community/file/1198749693280469639',
  },
  {
    name: 'comic head',
    generator: 'adventurer',
    title: 'Adventurer',
    author: 'Lisa Wischofsky',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/1184595184137881796',
  },
  {
    name: 'big smile',
    generator: 'bigSmile',
    title: 'Custom Avatar',
    author: 'Ashley Seo',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/881358461963645496',
  },
  {
    name: 'person',
    generator: 'personas',
    title: 'Personas by Draftbit',
    author: 'Draftbit - draftbit.com',
    licence: 'CC BY 4.0',
    source: 'https://personas.draftbit.com/',
  },
  {
    name: 'doodle',
    generator: 'croodles',
    title: 'Croodles - Doodle your face',
    author: 'vijay verma',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/966199982810283152',
  },
  {
    name: 'rings',
    generator: 'rings',
    title: 'Rings',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.dicebear.com',
  },
];

/** Returns the address of the terms that a style's designs are under. */
export function licenceAddress({ licence, source }: AvatarStyle): string {
  return LICENCES[licence] ?? source;
}
