/** @file The repository's documents as pages of the site: the same text, with links to the site's pages. */

import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, posix } from 'node:path';
import { inlineSvg } from './diagrams/svg.ts';
import { guide } from './guide.ts';
import { replaceImages, replaceLinks } from './links.ts';
import { PAGES, ROOT, SITE } from './paths.ts';

/** Files that are copied unchanged. Other linked files become pages that show them. */
const ASSETS = new Set(['.png', '.jpg', '.webp', '.gif', '.svg', '.mp4']);

/**
 * Write the home page, the guide, and all that they link to in the repository, into {@link PAGES}.
 *
 * @returns a line for each link to a missing file
 */
export function writePages(): string[] {
  const pages = new Map(guide().flatMap((group) => group.pages.map(({ source, page }) => [source, page])));
  const linked = new Set<string>();
  const faults: string[] = [];
  for (const [source, page] of pages) {
    const file = join(PAGES, `${page}.md`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, pageText(source, pages, linked, faults));
  }
  for (const source of linked) writeLinked(source);
  copyFileSync(join(SITE, 'home.md'), join(PAGES, 'index.md'));
  return faults;
}

/** A document's text as a page. Files that it links to and that are not pages yet are added to `linked`. */
function pageText(
  source: string,
  pages: ReadonlyMap<string, string>,
  linked: Set<string>,
  faults: string[],
): string {
  const markdown = replaceImages(readFileSync(join(ROOT, source), 'utf8'), (alt, target) => {
    const drawing = join(ROOT, dirname(source), target);
    return target.endsWith('.svg') && existsSync(drawing)
      ? inlineSvg(readFileSync(drawing, 'utf8'), alt)
      : undefined;
  });
  return replaceLinks(markdown, (target, line) => {
    if (/^([a-z]+:|#)/i.test(target)) return target;
    const [path = '', fragment] = target.split('#');
    const file = posix.join(posix.dirname(source), path).replace(/\/$/, '');
    const hash = fragment === undefined ? '' : `#${fragment}`;
    const page = pages.get(file);
    if (page) return page + hash;
    if (!statSync(join(ROOT, file), { throwIfNoEntry: false })?.isFile()) {
      faults.push(`${source}:${line}: links to ${target}, but there is no file ${file}`);
      return target;
    }
    linked.add(file);
    return addressOf(file);
  });
}

function addressOf(file: string): string {
  return ASSETS.has(extname(file)) ? `/files/${file}` : `/source/${file.replaceAll('.', '-')}`;
}

function writeLinked(file: string): void {
  const isAsset = ASSETS.has(extname(file));
  const target = join(PAGES, isAsset ? 'public' : '', `${addressOf(file)}${isAsset ? '' : '.md'}`);
  mkdirSync(dirname(target), { recursive: true });
  if (isAsset) copyFileSync(join(ROOT, file), target);
  else writeFileSync(target, sourcePage(file));
}

/** A page that shows a file. */
function sourcePage(file: string): string {
  const language = extname(file).slice(1) || 'text';
  const content = readFileSync(join(ROOT, file), 'utf8');
  return [
    '---',
    'search: false',
    'aside: false',
    '---',
    '',
    `# \`${file}\``,
    '',
    `\`\`\`\`${language}`,
    content.trimEnd(),
    '````',
    '',
  ].join('\n');
}
