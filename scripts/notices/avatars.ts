/** @file The designs that the avatar model and its classifier learned from: their authors and licences. */

import { AVATAR_STYLES, licenceAddress } from '../avatars/styles.ts';
import { table } from './table.ts';

/** Writes a table of the styles, with what CC BY 4.0 asks for: title, author, source and licence. */
export function styleTable(): string {
  const rows = AVATAR_STYLES.map((style) => [
    style.name,
    `[${style.title}](${style.source})`,
    style.author,
    `[${style.licence}](${licenceAddress(style)})`,
  ]);
  return table(['class', 'design', 'author', 'licence of the design'], rows);
}

/** Writes the section of the notices on the models that were trained on avatars. */
export function avatarNotices(): string {
  return [
    '## What models learned from',
    'The models `avatars` and `avatars-classifier` were trained on images that the generators of\n' +
      '[DiceBear](https://www.dicebear.com) 9.4.3 drew (their code is under the MIT licence, Copyright (c) 2024 Florian Körner,\n' +
      'and is not part of this package). The designs, drawn at 64 pixels on backgrounds of 12 colours, are by:',
    styleTable(),
  ].join('\n\n');
}
