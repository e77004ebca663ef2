/**
 * @file Kills `acdit train`, `sample --npz`, `encode` and a download at random moments, resumes them with the same command,
 * and compares every byte with a run that was not killed. Needs `npm run build`.
 * Usage: npm run kill-test -- [KILLS] [SEED]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serveHub } from '../test/support/hub-server.ts';
import { killTest } from './kill-test/run.ts';
import { scenariosOf, writeInputs } from './kill-test/scenarios.ts';

const [kills = '100', seed = '1'] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'acdit-kill-test-'));
const hub = await serveHub(await writeInputs(folder));
hub.faults.trickle = 2000;
const log = (line: string): void => console.log(line);
const command = [process.execPath, fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))];
const scenarios = scenariosOf({ folder, hubEndpoint: hub.endpoint });
log(`${kills} kills, seed ${seed}`);
const started = performance.now();
const tallies = await killTest({ scenarios, command, folder, kills: Number(kills), seed: Number(seed), log });
await hub.close();
for (const { name, kills, runs, different } of tallies) {
  log(
    `${name}: ${kills} kills in ${runs} runs; ${runs - different.length} the same, ${different.length} different`,
  );
}
log(`took ${Math.round((performance.now() - started) / 1000)} s`);
const failed = tallies.some(({ different }) => different.length > 0);
if (!failed) rmSync(folder, { recursive: true });
process.exitCode = failed ? 1 : 0;
