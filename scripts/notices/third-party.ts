/** @file The third-party software of acdit: of its npm package, of its documentation, and of its web app. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { avatarNotices } from './avatars.ts';
import { BUNDLES, type Bundle, LIBVIPS_NOTE, type Part } from './bundled.ts';
import { libvipsParts } from './libvips.ts';
import { withoutParentheses } from './licences.ts';
import { type NoticedPackage, notices } from './notices.ts';
import { type Lock, nameOf, type RuntimePackage, runtimePackages } from './runtime-packages.ts';
import { table } from './table.ts';

const LIBVIPS = '@img/sharp-libvips-<platform>';

/** Packages that differ by platform only are one line. */
interface Line extends NoticedPackage {
  readonly neededBy: readonly string[];
}

/**
 * Writes the notices of the npm package: all that is installed with it.
 * @param root the repository, with its dependencies installed
 * @throws {Error} if a licence is not known, or a text is missing
 */
export function packageNotices(root: string): string {
  const text = notices(lines(root), {
    title: 'Third-party notices',
    intro:
      'acdit is under the MIT licence (see LICENSE). npm installs these packages with it; their licences are below, and so is\n' +
      'what they contain of others. The web app in `web/dist` has notices of its own, `third-party-notices.txt`.\n\n' +
      'Written by `npm run notices`: do not edit.',
    bundles: { [LIBVIPS]: libvips(root) },
  });
  return text.replace('\n## Licence texts\n', () => `\n${avatarNotices()}\n\n## Licence texts\n`);
}

/**
 * Writes the table of all dependencies at run time for docs/dependencies.md.
 * @throws {Error} as {@link packageNotices} does
 */
export function dependencyTable(root: string): string {
  const bundles: Readonly<Record<string, Bundle>> = { ...BUNDLES, [LIBVIPS]: libvips(root) };
  const rows = lines(root).map(({ name, licence, neededBy }) => {
    const parts = bundles[name]?.parts ?? [];
    return [`\`${name}\``, licence, neededBy.map((each) => `\`${each}\``).join(', '), byLicence(parts)];
  });
  return table(['package', 'licence', 'needed by', 'contains'], rows);
}

/** `MIT: musl; MPL-1.1: libmp4v2`, without versions and addresses. */
function byLicence(parts: readonly Part[]): string {
  const groups = new Map<string, string[]>();
  for (const { name, licence } of parts) {
    const short = licence.replace(/\[(.+?)\]\(.+?\)/g, '$1');
    groups.set(short, [...(groups.get(short) ?? []), name.replace(/ [\da-f.]+$/, '')]);
  }
  return [...groups].map(([licence, names]) => `${licence}: ${names.join(', ')}`).join('; ');
}

/**
 * Writes the notices of the web app.
 * @param folders of the packages whose code or files it contains
 * @throws {Error} as {@link packageNotices} does
 */
export function webNotices(folders: Iterable<string>): string {
  const packages = [...folders].map((folder): NoticedPackage => {
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return {
      name: nameOf(folder.replaceAll('\\', '/')),
      version,
      licence: withoutParentheses(license ?? ''),
      folder,
    };
  });
  return notices(
    packages.sort((a, b) => (a.name < b.name ? -1 : 1)),
    {
      title: 'Third-party notices of the acdit web app',
      intro: 'The web app of acdit is under the MIT licence. It contains code of these packages.',
    },
  );
}

function lines(root: string): Line[] {
  const lock: Lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const byLine = new Map<string, Line>();
  for (const found of runtimePackages(lock)) {
    const name = lineName(found);
    const key = `${name} ${found.version} ${found.licence}`;
    const { version, folder } = found;
    const licence = withoutParentheses(found.licence);
    const neededBy = new Set([...(byLine.get(key)?.neededBy ?? []), ...found.neededBy.map(withoutPlatform)]);
    const where = found.platformSpecific ? {} : { folder: join(root, folder) };
    byLine.set(key, { name, version, licence, neededBy: [...neededBy], ...where });
  }
  return [...byLine.values()];
}

function lineName({ name, platformSpecific }: RuntimePackage): string {
  return platformSpecific ? withoutPlatform(name) : name;
}

/** `@img/sharp-linux-x64` as `@img/sharp-<platform>`; those for Windows stay apart, since they contain libvips. */
function withoutPlatform(name: string): string {
  return name
    .replace(/-(darwin|freebsd|linux|linuxmusl|webcontainers)-\w+$/, '-<platform>')
    .replace(/-win32-\w+$/, '-win32-<cpu>');
}

/** @throws {Error} where libvips is not a package of its own */
function libvips(root: string): Bundle {
  const scope = join(root, 'node_modules/@img');
  const names = existsSync(scope) ? readdirSync(scope) : [];
  const name = names.find((each) => each.startsWith('sharp-libvips-'));
  if (name === undefined) {
    throw new Error(
      `expected a package sharp-libvips-… in ${scope}; run npm ci, on Linux or macOS (Windows has none)`,
    );
  }
  return { note: LIBVIPS_NOTE, parts: libvipsParts(join(scope, name)) };
}
