/** Notices of third-party software; `npm run check` compares the written ones with the installed packages. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { libvipsParts } from '../scripts/notices/libvips.ts';
import { notices } from '../scripts/notices/notices.ts';
import { type Lock, runtimePackages } from '../scripts/notices/runtime-packages.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const ROOT = join(import.meta.dirname, '..');
const TEXT = { title: 'Notices', intro: 'Of a test.' };

/** A package's folder with some files. */
function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder();
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

describe('runtimePackages', () => {
  it('lists what dependencies reach, as Node resolves them, with who needs it', () => {
    const lock: Lock = {
      packages: {
        '': { dependencies: { a: '1' }, optionalDependencies: { native: '1' } },
        'node_modules/a': { version: '1.0.0', license: 'MIT', dependencies: { b: '2' } },
        'node_modules/a/node_modules/b': {
          version: '2.0.0',
          license: 'ISC',
          dependencies: { c: '1', a: '1' },
        },
        'node_modules/b': { version: '1.0.0', license: 'MIT' },
        'node_modules/c': { version: '1.0.0' },
        'node_modules/native': {
          version: '1.0.0',
          license: 'MIT',
          optional: true,
          os: ['linux'],
          dependencies: { d: '1' },
        },
        'node_modules/d': { version: '1.0.0', license: 'MIT' },
        'node_modules/tool': { version: '1.0.0', license: 'MIT' },
      },
    };
    const found = runtimePackages(lock).map(({ folder, neededBy, platformSpecific }) => [
      folder,
      neededBy.join(),
      platformSpecific,
    ]);
    expect(found).toEqual([
      ['node_modules/a', 'acdit,b', false],
      ['node_modules/a/node_modules/b', 'a', false],
      ['node_modules/c', 'b', false],
      ['node_modules/d', 'native', true],
      ['node_modules/native', 'acdit', true],
    ]);
    expect(runtimePackages(lock).map(({ licence }) => licence)).toEqual(['MIT', 'ISC', '', 'MIT', 'MIT']);
  });

  it("lists the same packages as npm does for acdit's own lock file", () => {
    const lock: Lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
    const folder = folderWith({
      'package-lock.json': JSON.stringify(lock),
      'package.json': readFileSync(join(ROOT, 'package.json'), 'utf8'),
    });
    const out = execFileSync(
      'npm',
      ['ls', '--package-lock-only', '--omit=dev', '--omit=peer', '--all', '--parseable'],
      { cwd: folder, encoding: 'utf8', shell: process.platform === 'win32' },
    );
    const listed = out
      .trim()
      .split('\n')
      .slice(1)
      .map((path) => path.slice(path.indexOf('node_modules')).replaceAll('\\', '/'));
    expect(runtimePackages(lock).map((found) => found.folder)).toEqual(expect.arrayContaining(listed));
    const reachedBySharpAlone = /@img\/sharp-|@emnapi\/runtime|tslib/;
    expect(
      runtimePackages(lock).filter(
        (found) => !listed.includes(found.folder) && !reachedBySharpAlone.test(found.folder),
      ),
    ).toEqual([]);
  });
});

describe('notices', () => {
  it('contain each licence text once, with the packages that are under it', () => {
    const mit = 'MIT License\n\nCopyright (c) Somebody\n';
    const text = notices(
      [
        { name: 'a', version: '1.0.0', licence: 'MIT', folder: folderWith({ LICENSE: mit }) },
        { name: 'b', version: '2.0.0', licence: 'MIT', folder: folderWith({ 'license.md': `${mit}\n` }) },
        { name: 'c', version: '3.0.0', licence: 'ISC', folder: folderWith({ COPYING: 'c', NOTICE: 'd' }) },
      ],
      TEXT,
    );
    expect(text.match(/Copyright \(c\) Somebody/g)).toHaveLength(1);
    expect(text).toContain('### a 1.0.0, b 2.0.0\n\n    MIT License\n\n    Copyright');
    expect(text).toContain('### c 3.0.0\n\n    c\n\n    d\n');
  });

  it('name what h264-mp4-encoder contains, with the text of its licence', () => {
    const folder = join(ROOT, 'node_modules/h264-mp4-encoder');
    const text = notices([{ name: 'h264-mp4-encoder', version: '1', licence: 'MIT', folder }], TEXT);
    expect(text).toMatch(/^\| libmp4v2 \| MPL-1\.1 \|/m);
    expect(text).toMatch(/^\| minih264 \| CC0-1\.0 \|/m);
    expect(text).toContain('### MPL-1.1\n\n                              MOZILLA PUBLIC LICENSE');
  });

  it.each([
    ['', 'got none'],
    ['SSPL-1.0', 'got SSPL-1.0'],
    ['MIT AND SSPL-1.0', 'got MIT AND SSPL-1.0'],
    ['constructor', 'got constructor'],
    ['SEE LICENSE IN terms.txt', 'got SEE LICENSE IN terms.txt'],
  ])('refuse the licence "%s"', (licence, message) => {
    const folder = folderWith({ LICENSE: 'a text' });
    expect(() => notices([{ name: 'new', version: '1.0.0', licence, folder }], TEXT)).toThrow(message);
  });

  it('refuse a package with neither a licence file nor a known copyright', () => {
    const folder = folderWith({ 'README.md': 'MIT' });
    mkdirSync(join(folder, 'licenses'));
    expect(() => notices([{ name: 'new', version: '1.0.0', licence: 'MIT', folder }], TEXT)).toThrow(
      'new: expected a licence file',
    );
  });
});

describe('libvipsParts', () => {
  it('reads the libraries from the README, with their versions', () => {
    const readme =
      '| Library | Used under the terms of |\n|---|---|\n| cairo | Mozilla Public License 1.1 |\n| libvips | LGPLv3 |\n| libnsgif | MIT License |\n';
    const folder = folderWith({
      'README.md': readme,
      'versions.json': '{"vips": "8.18.7", "cairo": "1.18.6"}',
    });
    expect(libvipsParts(folder)).toEqual([
      { name: 'cairo 1.18.6', licence: 'Mozilla Public License 1.1' },
      { name: 'libvips 8.18.7', licence: 'LGPLv3' },
      { name: 'libnsgif', licence: 'MIT License' },
    ]);
  });

  it('refuses a README without them', () => {
    expect(() => libvipsParts(folderWith({ 'README.md': '# libvips', 'versions.json': '{}' }))).toThrow(
      'expected a table',
    );
  });
});
