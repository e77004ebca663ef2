/** What `npm pack` puts into the package; `npm test` builds `dist`, and `npm run build:web` the web app. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface Packed {
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

const ROOT = join(import.meta.dirname, '..');
const MB = 1e6;
const WEB = 'web/dist/';

function npmPack(): Packed {
  const out = execFileSync('npm', ['pack', '--dry-run', '--json', '--silent'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * MB,
    shell: process.platform === 'win32',
  });
  return (JSON.parse(out) as [Packed])[0];
}

const digest = (path: string): string =>
  createHash('sha256')
    .update(readFileSync(join(ROOT, path)))
    .digest('hex');
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

describe('the npm package', () => {
  const packed = npmPack();
  const paths = packed.files.map(({ path }) => path);

  it('contains what is needed, and neither sources, tests, fixtures nor source maps', () => {
    expect(paths).toEqual(
      expect.arrayContaining([
        ...['LICENSE', 'THIRD-PARTY-NOTICES.md', 'README.md', 'CHANGELOG.md', 'dist/cli/main.js'],
        ...['dist/index.d.ts', 'models/fashion-mnist/model.safetensors', 'docs/dependencies.md'],
      ]),
    );
    expect(paths.filter((path) => /\.map$|\.tsx?$/.test(path) && !path.endsWith('.d.ts'))).toEqual([]);
    expect(paths.filter((path) => /\.test\.|(^|\/)(test|tests|fixtures|golden|bench)\//.test(path))).toEqual(
      [],
    );
    const mapped = paths.filter(
      (path) =>
        path.startsWith('dist/') && readFileSync(join(ROOT, path), 'utf8').includes('sourceMappingURL'),
    );
    expect(mapped).toEqual([]);
  });

  it('contains no file twice', () => {
    const byDigest = new Map<string, string[]>();
    for (const path of paths) byDigest.set(digest(path), [...(byDigest.get(digest(path)) ?? []), path]);
    expect([...byDigest.values()].filter((same) => same.length > 1)).toEqual([]);
  });

  it('is at most 34 MB, and 72 MB when it is unpacked', () => {
    expect(packed.size).toBeLessThan(34 * MB);
    expect(packed.unpackedSize).toBeLessThan(72 * MB);
  });

  it.skipIf(!existsSync(join(ROOT, WEB, 'index.html')))(
    'contains the web app, and in models/ the files that are left out of it',
    () => {
      const shared = readJson(`${WEB}shared-files.json`) as Readonly<Record<string, string>>;
      const listed = readJson(`${WEB}files.json`) as readonly string[];
      expect(listed.length).toBeGreaterThan(10);
      expect(listed.filter((name) => !paths.includes(WEB + name)).sort()).toEqual(Object.keys(shared).sort());
      for (const [copy, original] of Object.entries(shared)) {
        expect(paths).toContain(original);
        expect(digest(original)).toBe(digest(WEB + copy));
      }
      expect(paths).toContain(`${WEB}third-party-notices.txt`);
    },
  );
});
