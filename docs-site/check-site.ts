/** @file Checks the built site as a browser would follow it: links, anchors, and that nothing is loaded from elsewhere. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** What is wrong with the site in `folder`, a line each. Links to other sites are not followed. */
export function siteFaults(folder: string, base = '/'): string[] {
  const files = new Set(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => posix.relative(folder, posix.join(entry.parentPath, entry.name))),
  );
  const pages = [...files].filter((file) => file.endsWith('.html'));
  const contents = new Map(pages.map((page) => [page, readFileSync(join(folder, page), 'utf8')]));
  const anchors = new Map([...contents].map(([page, html]) => [page, new Set(attributes(html, 'id'))]));
  return [...contents].flatMap(([page, html]) => [
    ...attributes(html, 'href').flatMap((target) => linkFault(page, target, base, files, anchors)),
    ...loaded(html)
      .filter((target) => /^(https?:)?\/\//.test(target))
      .map((target) => `${page}: loads ${target} from elsewhere`),
  ]);
}

function linkFault(
  page: string,
  target: string,
  base: string,
  files: ReadonlySet<string>,
  anchors: ReadonlyMap<string, ReadonlySet<string>>,
): string[] {
  if (/^([a-z]+:|\/\/)/i.test(target)) return [];
  const url = new URL(target, `http://site${base}${page}`);
  const path = decodeURIComponent(url.pathname.slice(base.length));
  const file = [path, `${path}.html`, posix.join(path, 'index.html')].find((name) => files.has(name));
  if (!file) return [`${page}: links to ${target}, which is missing`];
  const anchor = decodeURIComponent(url.hash.slice(1));
  if (anchor === '' || !anchors.has(file) || anchors.get(file)!.has(anchor)) return [];
  return [`${page}: links to ${target}, but ${file} has no such anchor`];
}

/** What a browser loads automatically: scripts, images, styles, fonts. */
function loaded(html: string): string[] {
  const sheets = [...html.matchAll(/<link\b[^>]*>/g)].flatMap(([tag]) => attributes(tag, 'href'));
  return [...attributes(html, 'src'), ...sheets];
}

function attributes(html: string, name: string): string[] {
  return [...html.matchAll(new RegExp(`\\s${name}="([^"]*)"`, 'g'))].map(([, value = '']) =>
    value.replaceAll('&amp;', '&'),
  );
}
