/** @file Notices of third-party software, as Markdown, from the packages' own statements and from what they leave out. */

import { BUNDLES, type Bundle, COPYRIGHT } from './bundled.ts';
import { ownText, standardText, standardTexts } from './licences.ts';
import { table } from './table.ts';

/** A package to be named, and the folder that it is installed in. */
export interface NoticedPackage {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly licence: string;
  /** Missing for packages of single platforms, which get the standard text of their licence. */
  readonly folder?: string;
}

/** What surrounds the packages of a notices file. */
export interface NoticesText {
  readonly title: string;
  readonly intro: string;
  /** Bundles besides those of {@link BUNDLES}, by package. */
  readonly bundles?: Readonly<Record<string, Bundle>>;
}

/** Licence texts by content, with the packages under them. */
type Texts = Map<string, string[]>;

/**
 * Writes the notices of packages: a table of them, what they bundle, and all licence texts, equal ones once.
 * @throws {Error} if a package's licence is not known, or it has no text of it and no copyright in {@link COPYRIGHT}
 */
export function notices(packages: readonly NoticedPackage[], { title, intro, bundles }: NoticesText): string {
  const held = Object.entries({ ...bundles, ...BUNDLES }).filter(([owner]) =>
    packages.some(({ name }) => name === owner),
  );
  const texts: Texts = new Map();
  const standard = new Set<string>();
  for (const found of packages) {
    const needed = standardTexts(found.licence, found.name);
    const own = textOf(found);
    if (own) texts.set(own, [...(texts.get(own) ?? []), `${found.name} ${found.version}`]);
    else for (const name of needed) standard.add(name);
  }
  for (const [, { parts }] of held) {
    for (const { name, licence, copyright } of parts) {
      if (copyright !== undefined) for (const text of standardTexts(licence, name)) standard.add(text);
    }
  }
  return [
    `# ${title}`,
    intro,
    '## Packages',
    packageTable(packages),
    ...(held.length > 0 ? ['## What they bundle'] : []),
    ...held.flatMap(([owner, bundle]) => bundleSection(owner, bundle)),
    '## Licence texts',
    ...[...texts].map(([text, names]) => `### ${names.join(', ')}\n\n${block(text)}`),
    ...[...standard].sort().map((name) => `### ${name}\n\n${block(standardText(name))}`),
  ]
    .join('\n\n')
    .concat('\n');
}

function packageTable(packages: readonly NoticedPackage[]): string {
  const rows = packages.map((found) => [
    `\`${found.name}\``,
    found.version,
    found.licence,
    textOf(found) === '' ? (copyrightOf(found) ?? '') : '',
  ]);
  return table(['package', 'version', 'licence', 'copyright, unless it is in the text below'], rows);
}

function bundleSection(owner: string, { note, parts }: Bundle): string[] {
  const described = parts.some(({ source }) => source !== undefined);
  const rows = parts.map(({ name, licence, copyright = '', source = '' }) =>
    described ? [name, licence, copyright, source] : [name, licence],
  );
  const heads = described ? ['part', 'licence', 'copyright', 'source'] : ['part', 'licence'];
  return [`### In \`${owner}\``, note, ...(rows.length > 0 ? [table(heads, rows)] : [])];
}

/** @throws {Error} if there is neither a text nor a copyright to go with a standard one */
function textOf(found: NoticedPackage): string {
  if (found.folder === undefined) return '';
  const own = ownText(found.folder);
  if (own === '' && copyrightOf(found) === undefined) throw withoutText(found);
  return own;
}

function copyrightOf({ name }: NoticedPackage): string | undefined {
  return Object.hasOwn(COPYRIGHT, name) ? COPYRIGHT[name] : undefined;
}

function withoutText({ name, folder }: NoticedPackage): Error {
  return new Error(
    `${name}: expected a licence file in ${folder}, found none; add its copyright to scripts/notices/bundled.ts`,
  );
}

/** Indented, so that no text can end it. */
function block(text: string): string {
  return text.replace(/^(?=.)/gm, '    ');
}
