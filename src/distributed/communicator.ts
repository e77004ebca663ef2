/** @file Communication between the processes of a run, as training and sampling use it; and one process alone. */

import { at } from '../at.ts';
import type { Ownership } from './ownership.ts';

/** What a rank contributes to a round of sums. */
export interface RoundOptions {
  /** The first ranks, so many, have values; the others only receive. */
  readonly active: number;
  /** Whether the values are added to the sums, or replace them. */
  readonly add: boolean;
  /** 0 to continue. If a rank says anything else, nothing is added, and all learn what each said. */
  readonly state: number;
}

/**
 * The processes of a run. Every function is collective: all ranks call the same ones in the same order, and arrays that are
 * passed must not change until it resolves. A failure cannot be recovered from.
 */
export interface Communicator {
  readonly rank: number;
  readonly size: number;
  /** Number of this process among those of its machine. */
  readonly localRank: number;
  /** Name and version of the library; empty without one. */
  readonly library: string;
  /** Whether calls can succeed; a call that has failed ends the group. */
  readonly alive: boolean;
  /** Seconds of the oldest call under way, 0 if there is none, and of the longest one that has ended. */
  readonly waiting: { readonly current: number; readonly longest: number };
  /** Bytes of arrays that this rank has sent to others so far. */
  readonly bytesSent: number;
  /** Everyone's bytes, by rank; their lengths may differ. */
  gatherToAll(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Everyone's bytes, by rank, on the first rank; nothing on the others. */
  gatherToFirst(bytes: Uint8Array): Promise<Uint8Array[]>;
  /** Fills an array with the first rank's. */
  broadcast(array: NodeJS.TypedArray): Promise<void>;
  /**
   * Adds the values of the ranks to the owners' shards of sums, in the order of the ranks, so the same numbers are added in the
   * same order for any number of them. Returns what each rank gave as its state.
   */
  reduceToOwners(
    ownership: Ownership,
    values: Float32Array,
    sums: Float32Array,
    options: RoundOptions,
  ): Promise<Uint8Array>;
  /** Fills the pieces of all others in `values`; each owner's own are in place. */
  gatherFromOwners(ownership: Ownership, values: Float32Array): Promise<void>;
  /** Brings the first rank the pieces `first` up to `end` of the owners' shards; `values` is empty on the others. */
  shardsToFirst(
    ownership: Ownership,
    range: { readonly first: number; readonly end: number },
    shard: Float32Array,
    values: Float32Array,
  ): Promise<void>;
  /** Leaves the group, when all do; it can be called again. */
  close(): Promise<void>;
  /** Ends the process at once, with all its threads. */
  exit(code: number): never;
}

/** The ranks of a run, and how it is stopped. */
export interface Ranks {
  readonly communicator: Communicator;
  /** Aborted when this rank is asked to stop; it passes the wish on to the others. */
  readonly wish: AbortSignal;
  /** Aborted when all ranks have agreed to stop, because one was asked to; its signal is that of the run. */
  readonly stop: AbortController;
}

/** A process without others. */
export function alone(): Communicator {
  return {
    rank: 0,
    size: 1,
    localRank: 0,
    library: '',
    alive: true,
    waiting: { current: 0, longest: 0 },
    bytesSent: 0,
    gatherToAll: async (bytes) => [bytes],
    gatherToFirst: async (bytes) => [bytes],
    async broadcast() {},
    async reduceToOwners({ offsets, lengths, shardOffsets }, values, sums, { add, state }) {
      if (state !== 0) return Uint8Array.of(state);
      for (const [piece, length] of lengths.entries()) {
        const from = at(offsets, piece);
        const to = at(shardOffsets, piece);
        if (!add) sums.set(values.subarray(from, from + length), to);
        else for (let i = 0; i < length; i++) sums[to + i] = sums[to + i]! + values[from + i]!;
      }
      return Uint8Array.of(0);
    },
    async gatherFromOwners() {},
    async shardsToFirst({ offsets, lengths, shardOffsets }, { first, end }, shard, values) {
      for (let piece = first; piece < end; piece++) {
        const from = at(shardOffsets, piece);
        const to = at(offsets, piece) - at(offsets, first);
        values.set(shard.subarray(from, from + at(lengths, piece)), to);
      }
    },
    async close() {},
    exit: (code) => process.exit(code),
  };
}
