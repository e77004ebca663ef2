/** What bundlers make of `acdit/browser`. */

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { buildModule } from '../support/web-build.ts';

describe('acdit/browser, bundled', () => {
  it('reaches no module of Node, loads the runtime only when asked, and names the packages in it', async () => {
    const folder = temporaryFolder();
    const { modules, chunks } = await buildModule('src/browser/index.ts', folder);
    const notices = await readFile(join(folder, 'third-party-notices.txt'), 'utf8');
    await rm(folder, { recursive: true });
    // Some packages have branches for Node, which they never take here; our modules have none.
    const ours = modules.filter(({ id }) => !id.includes('node_modules'));
    expect(ours.length).toBeGreaterThan(50);
    const imported = ours.flatMap(({ importedIds, dynamicallyImportedIds }) => [
      ...importedIds,
      ...dynamicallyImportedIds,
    ]);
    expect(imported.filter((id) => /^node:|browser-external|onnxruntime-node|sharp/.test(id))).toEqual([]);
    const entry = chunks.find(({ isEntry, name }) => isEntry && name === 'page');
    const atOnce = new Set([entry?.fileName, ...(entry?.imports ?? [])]);
    const early = chunks.filter(({ fileName }) => atOnce.has(fileName)).flatMap(({ moduleIds }) => moduleIds);
    expect(early.some((id) => id.endsWith('sampler.ts'))).toBe(true);
    expect(
      early.filter((id) => /onnxruntime-web|mediabunny|h264/.test(id) && !/src\/media/.test(id)),
    ).toEqual([]);
    const packages = modules.flatMap(({ id }) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id)?.[1] ?? []);
    expect(new Set(packages)).toContain('zod');
    for (const name of new Set(packages)) expect(notices).toContain(`| \`${name}\` |`);
    for (const name of ['sharp', 'hono', 'onnxruntime-node']) {
      expect(notices).not.toContain(`| \`${name}\` |`);
    }
  });
});
