/** @file Where the site's parts are. */

import { fileURLToPath } from 'node:url';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url)).replace(/\/$/, '');

/** The repository. */
export const ROOT = path('../');
/** VitePress' root. */
export const SITE = path('./');
/** The pages as VitePress gets them: made by `npm run docs`, never edited. */
export const PAGES = path('./pages/');
/** The site. */
export const DIST = path('./dist/');
