import { describe, expect, it } from 'vitest';
import { detectLaunch } from './launcher.ts';

const OPEN_MPI = { OMPI_COMM_WORLD_SIZE: '8', OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_LOCAL_RANK: '1' };
const HYDRA = { PMI_SIZE: '4', PMI_RANK: '2', MPI_LOCALRANKID: '0' };
const STEP = { SLURM_STEP_NUM_TASKS: '16', SLURM_PROCID: '5', SLURM_LOCALID: '1', SLURM_NTASKS: '16' };
const BATCH = { SLURM_NTASKS: '16', SLURM_PROCID: '0', SLURM_LOCALID: '0', SLURM_JOB_ID: '77' };

describe('detectLaunch', () => {
  it.each([
    ['nobody', {}, undefined],
    [
      'mpirun of Open MPI',
      OPEN_MPI,
      { launcher: 'mpirun of Open MPI', library: 'Open MPI', rank: 3, size: 8, localRank: 1 },
    ],
    ['hydra', HYDRA, { launcher: 'mpiexec of MPICH', library: 'MPICH', rank: 2, size: 4, localRank: 0 }],
    [
      'one process of mpirun',
      { ...OPEN_MPI, OMPI_COMM_WORLD_SIZE: '1', OMPI_COMM_WORLD_RANK: '0' },
      undefined,
    ],
    [
      'MVAPICH',
      { MV2_COMM_WORLD_SIZE: '2', MV2_COMM_WORLD_RANK: '1', MV2_COMM_WORLD_LOCAL_RANK: '1', ...HYDRA },
      { launcher: 'mpirun of MVAPICH', library: 'MPICH', rank: 1, size: 2, localRank: 1 },
    ],
    ['srun with PMIx', { ...STEP, PMIX_RANK: '5' }, { launcher: 'srun', rank: 5, size: 16, localRank: 1 }],
    [
      'srun with PMI-2',
      { ...STEP, PMI_RANK: '5', PMI_SIZE: '16' },
      { launcher: 'srun', library: 'MPICH', rank: 5, size: 16, localRank: 1 },
    ],
    [
      'srun without MPI',
      STEP,
      { launcher: 'srun', library: 'MPICH', rank: 5, size: 16, localRank: 1, connected: false },
    ],
    ['a batch script of Slurm', BATCH, undefined],
    ['one task of srun', { ...STEP, SLURM_STEP_NUM_TASKS: '1', SLURM_PROCID: '0' }, undefined],
    ['mpirun in a batch script', { ...BATCH, ...OPEN_MPI }, expect.objectContaining({ size: 8, rank: 3 })],
    ['another PMIx', { PMIX_RANK: '1' }, { launcher: 'PMIx', rank: 1, size: undefined, localRank: 0 }],
    ['nonsense', { OMPI_COMM_WORLD_SIZE: 'many', PMI_RANK: '' }, undefined],
  ])('knows %s', (_, env, expected) => {
    const found = detectLaunch(env);
    if (expected === undefined) expect(found).toBeUndefined();
    else expect(found).toEqual('asymmetricMatch' in expected ? expected : { connected: true, ...expected });
  });
});
