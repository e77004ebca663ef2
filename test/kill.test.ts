/** @file A short run of the kill test, see docs/reliability.md. */
// @module-tag slow

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { killTest } from '../scripts/kill-test/run.ts';
import { scenariosOf, writeInputs } from '../scripts/kill-test/scenarios.ts';
import { startHub } from './support/hub-server.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

/** As built: it starts faster, so that kills meet its work. */
const MAIN = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

describe.skipIf(process.platform === 'win32')('commands that are killed', () => {
  it('end as if they had not been', { timeout: 600_000 }, async () => {
    const folder = temporaryFolder();
    const hub = await startHub(await writeInputs(folder));
    hub.faults.trickle = 2000;
    const scenarios = scenariosOf({ folder, hubEndpoint: hub.endpoint });
    const command = [process.execPath, MAIN];
    const tallies = await killTest({ scenarios, command, folder, kills: 8, seed: 1, log: () => {} });
    expect(tallies.reduce((sum, { kills }) => sum + kills, 0)).toBeGreaterThanOrEqual(8);
    expect(tallies.flatMap(({ different }) => different)).toEqual([]);
  });
});
