/** @file The styles of avatars, one per class of the model, with their authors. */

/** One of DiceBear's generators. */
export interface AvatarStyle {
  /** Name of the class. */
  readonly name: string;
  /** Export of `@dicebear/collection`. */
  readonly generator: string;
  readonly author: string;
  readonly licence: 'CC0 1.0' | 'CC BY 4.0' | 'Free for personal and commercial use';
  readonly source: string;
}

/** Styles that look different from each other and good when small, and whose licences allow this use. */
export const AVATAR_STYLES: readonly AvatarStyle[] = [
  {
    name: 'robot',
    generator: 'bottts',
    author: 'Pablo Stanley',
    licence: 'Free for personal and commercial use',
    source: 'https://bottts.com/',
  },
  {
    name: 'pixel face',
    generator: 'pixelArt',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.figma.com/community/file/1198754108850888330',
  },
  {
    name: 'emoji',
    generator: 'funEmoji',
    author: 'Davis Uche',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/968125295144990435',
  },
  {
    name: 'ghost',
    generator: 'thumbs',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.dicebear.com',
  },
  {
    name: 'ink portrait',
    generator: 'lorelei',
    author: 'Lisa Wischofsky',
    licence: 'CC0 1.0',
    source: 'https://www.figma.com/community/file/1198749693280469639',
  },
  {
    name: 'comic head',
    generator: 'adventurer',
    author: 'Lisa Wischofsky',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/1184595184137881796',
  },
  {
    name: 'big smile',
    generator: 'bigSmile',
    author: 'Ashley Seo',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/881358461963645496',
  },
  {
    name: 'person',
    generator: 'personas',
    author: 'Draftbit',
    licence: 'CC BY 4.0',
    source: 'https://personas.draftbit.com/',
  },
  {
    name: 'doodle',
    generator: 'croodles',
    author: 'vijay verma',
    licence: 'CC BY 4.0',
    source: 'https://www.figma.com/community/file/966199982810283152',
  },
  {
    name: 'rings',
    generator: 'rings',
    author: 'DiceBear',
    licence: 'CC0 1.0',
    source: 'https://www.dicebear.com',
  },
];
