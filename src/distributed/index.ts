/**
 * @file Several processes as one run, over MPI: who started them, how they communicate, and which part of an array belongs
 * to whom. It knows no model.
 *
 * @example
 * ```ts
 * const launch = detectLaunch(process.env); // mpirun, srun and others
 * const ranks = launch ? await connectRanks(launch) : alone();
 * const names = await ranks.gatherToAll(new TextEncoder().encode(hostname()));
 * await ranks.close();
 * ```
 */

export { alone, type Communicator, type Ranks, type RoundOptions } from './communicator.ts';
export { type InOrderOptions, inOrder } from './in-order.ts';
export { detectLaunch, type Launch } from './launcher.ts';
export { type ConnectOptions, connectRanks } from './mpi-communicator.ts';
export { dealPieces, type Ownership, ownPieces, type PieceLength, type Span } from './ownership.ts';
