/** @file Who started this process, from its environment: a launcher of MPI programs says so in variables. */

/** What a launcher said of this process. */
export interface Launch {
  /** The launcher, as messages name it. */
  readonly launcher: 'mpirun of Open MPI' | 'mpiexec of MPICH' | 'mpirun of MVAPICH' | 'srun' | 'PMIx';
  /** The kind of library that belongs to the launcher; undefined if it starts both kinds. */
  readonly library?: 'Open MPI' | 'MPICH';
  /** Number of this process, from 0. */
  readonly rank: number;
  /** How many processes were started; undefined if the launcher does not say. */
  readonly size: number | undefined;
  /** Number of this process among those of its machine. */
  readonly localRank: number;
  /** Whether the processes can find each other; `srun` without `--mpi` does not let them. */
  readonly connected: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns what a launcher said of this process, or undefined if none started it with others. A Slurm batch script is not
 * evidence: only `srun` starts a step of several tasks.
 */
export function detectLaunch(env: Environment): Launch | undefined {
  const launch = anyLaunch(env);
  return launch?.size === 1 ? undefined : launch;
}

function anyLaunch(env: Environment): Launch | undefined {
  const count = (name: string): number | undefined => {
    const text = env[name];
    return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  };
  const launch = (
    launcher: Launch['launcher'],
    [size, rank, localRank]: readonly [string, string, string],
    rest: Partial<Launch> = {},
  ): Launch => ({
    launcher,
    size: count(size),
    rank: count(rank) ?? 0,
    localRank: count(localRank) ?? 0,
    connected: true,
    ...rest,
  });
  if (count('OMPI_COMM_WORLD_SIZE') !== undefined) {
    const names = ['OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK'] as const;
    return launch('mpirun of Open MPI', names, { library: 'Open MPI' });
  }
  if (count('MV2_COMM_WORLD_SIZE') !== undefined) {
    const names = ['MV2_COMM_WORLD_SIZE', 'MV2_COMM_WORLD_RANK', 'MV2_COMM_WORLD_LOCAL_RANK'] as const;
    return launch('mpirun of MVAPICH', names, { library: 'MPICH' });
  }
  const pmi = count('PMI_RANK') !== undefined;
  if ((count('SLURM_STEP_NUM_TASKS') ?? 1) > 1 && count('SLURM_PROCID') !== undefined) {
    const names = ['SLURM_STEP_NUM_TASKS', 'SLURM_PROCID', 'SLURM_LOCALID'] as const;
    if (count('PMIX_RANK') !== undefined) return launch('srun', names);
    return launch('srun', names, { library: 'MPICH', connected: pmi });
  }
  if (pmi) {
    return launch('mpiexec of MPICH', ['PMI_SIZE', 'PMI_RANK', 'MPI_LOCALRANKID'], { library: 'MPICH' });
  }
  if (count('PMIX_RANK') !== undefined) return launch('PMIx', ['', 'PMIX_RANK', '']);
  return undefined;
}
