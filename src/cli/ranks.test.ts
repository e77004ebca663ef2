import { afterEach, it, vi } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

it.each([
  ['study', ['study.json']],
  ['range-test', ['recipe.json']],
  ['tune', []],
])('acdit %s works in one process, and refuses to be started as several', async (command, args) => {
  vi.stubEnv('OMPI_COMM_WORLD_SIZE', '4');
  vi.stubEnv('OMPI_COMM_WORLD_RANK', '2');
  vi.stubEnv('OMPI_COMM_WORLD_LOCAL_RANK', '2');
  expectBadInput(
    await runInProcess([command, ...args]),
    `mpirun of Open MPI started 4 processes, and acdit ${command} works in one`,
  );
});
