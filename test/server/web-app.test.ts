/** The web app's files, where the package keeps some of them elsewhere. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { listStaticFiles } from '../../src/server/static-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyServer } from '../support/tiny-server.ts';

/** A package with a model, and a web app that leaves it out. */
function packageFolder(shared: Readonly<Record<string, string>>): { folder: string; web: string } {
  const folder = temporaryFolder();
  const web = join(folder, 'web');
  mkdirSync(web);
  mkdirSync(join(folder, 'models'));
  writeFileSync(join(folder, 'models/a.bin'), 'original');
  writeFileSync(join(web, 'index.html'), '<title>app</title>');
  writeFileSync(join(web, 'shared-files.json'), JSON.stringify(shared));
  return { folder, web };
}

it('serves the originals of files that the package leaves out of its web app', async () => {
  const { folder, web } = packageFolder({ 'assets/a-123.bin': 'models/a.bin' });
  const { get } = await tinyServer({ web: await listStaticFiles(web, folder) });
  const answer = await get('/assets/a-123.bin');
  expect([answer.status, await answer.text()]).toEqual([200, 'original']);
  expect(answer.headers.get('content-type')).toBe('application/octet-stream');
});

it("prefers the web app's own copy", async () => {
  const { folder, web } = packageFolder({ 'a.bin': 'models/gone.bin' });
  writeFileSync(join(web, 'a.bin'), 'copy');
  const { get } = await tinyServer({ web: await listStaticFiles(web, folder) });
  expect(await (await get('/a.bin')).text()).toBe('copy');
});

it("follows the list of no other app than the package's own", async () => {
  const { web } = packageFolder({ 'a.bin': '../models/a.bin' });
  const { get } = await tinyServer({ web: await listStaticFiles(web) });
  expect((await get('/a.bin')).status).toBe(404);
});

it('refuses a package whose originals are missing', async () => {
  const { folder, web } = packageFolder({ 'a.bin': 'models/gone.bin' });
  await expect(listStaticFiles(web, folder)).rejects.toThrow('is missing; install acdit again');
});
