/** @file Tests the ranks of a launcher: who they are, and how fast they are connected. What `acdit info --ranks` does. */

import { cpus } from 'node:os';
import { at } from '../at.ts';
import { factsOfAll, processorKind } from '../distributed/alike.ts';
import type { Communicator } from '../distributed/communicator.ts';
import { dealPieces } from '../distributed/ownership.ts';
import { counted, formatBytes } from '../io/quantities.ts';
import { machine } from '../runtime/machine.ts';
import { PIECE } from '../training/optimizer.ts';

/** One rank. */
export interface RankInfo {
  readonly rank: number;
  readonly host: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly processor: string;
  /** Whether its processor has the vector extensions of the first rank's, so that results are the same. */
  readonly alike: boolean;
}

/** The ranks, and what was measured between them. */
export interface RankCheck {
  readonly library: string;
  readonly ranks: readonly RankInfo[];
  /** Seconds in which all ranks learn of a few bytes of all. */
  readonly latency: number;
  /** Bytes per second that each rank sends while gradients are summed. */
  readonly bandwidth: number;
}

const LATENCY_ROUNDS = 50;
const SUM_ROUNDS = 3;
/** Floats that are summed: 64 MB. */
const SUMMED = 2 ** 24;
const FLOAT = 4;

/** Tests the ranks. Collective. */
export async function checkRanks(communicator: Communicator): Promise<RankCheck> {
  const { cores, memory } = machine();
  const facts = await factsOfAll(communicator, {
    cores: String(cores),
    memory: String(memory),
    model: cpus()[0]?.model ?? 'unknown processor',
    kind: processorKind(),
  });
  const ranks = facts.map(
    ({ host = '', model = '', ...rest }, rank): RankInfo => ({
      rank,
      host,
      cores: Number(rest.cores),
      memory: Number(rest.memory),
      processor: model,
      alike: rest.kind === at(facts, 0).kind,
    }),
  );
  const latency = await fastest(LATENCY_ROUNDS, () => communicator.gatherToAll(Uint8Array.of(1)));
  const ownership = dealPieces([{ offset: 0, length: SUMMED }], PIECE, communicator.size);
  const values = new Float32Array(SUMMED).fill(1);
  const sums = new Float32Array(at(ownership.shardLengths, communicator.rank));
  const options = { active: communicator.size, add: true, state: 0 };
  const seconds = await fastest(SUM_ROUNDS, () =>
    communicator.reduceToOwners(ownership, values, sums, options),
  );
  const sent = (FLOAT * SUMMED * (communicator.size - 1)) / communicator.size;
  return { library: communicator.library, ranks, latency, bandwidth: sent / seconds };
}

/** Seconds of the fastest of some rounds. */
async function fastest(rounds: number, work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await work();
    best = Math.min(best, performance.now() - started);
  }
  return best / 1000;
}

/** Describes the ranks in a table. */
export function describeRankCheck({ library, ranks, latency, bandwidth }: RankCheck): string {
  const rows = ranks.map(({ rank, host, cores, memory, processor, alike }) =>
    [
      rank,
      host,
      counted(cores, 'core'),
      formatBytes(memory),
      processor + (alike ? '' : ' (other vector extensions)'),
    ].join('  '),
  );
  const speed = [
    `latency ${(latency * 1e6).toFixed(0)} microseconds`,
    `sums ${(bandwidth / 1e9).toFixed(2)} GB/s sent by each rank`,
  ];
  return [`${ranks.length} ranks, ${library}`, ...rows, ...(ranks.length > 1 ? speed : [])].join('\n');
}
