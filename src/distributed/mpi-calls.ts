/** @file What the thread that calls MPI answers. */

import type { Call } from '../remote/protocol.ts';
import type { Ownership } from './ownership.ts';

/** The group of processes, as this one sees it. */
export interface MpiWorld {
  readonly rank: number;
  readonly size: number;
  readonly version: string;
  readonly file: string;
}

/** Pieces `first` up to `end` of an ownership. */
interface Pieces {
  readonly ownership: Ownership;
  readonly first: number;
  readonly end: number;
}

/** Where an array begins, in this process. The caller keeps the array until the call has ended. */
export type Address = bigint;

/** The calls, answered in the order in which they come. */
export interface MpiCalls {
  open: Call<{ readonly names: readonly string[] }, MpiWorld>;
  /** Everyone's bytes, one after another. */
  gatherToAll: Call<{ readonly bytes: Uint8Array; readonly counts: Int32Array }, Uint8Array>;
  /** Everyone's bytes for the first rank, one after another; `all` is 0 on the others. */
  gatherToFirst: Call<{
    readonly memory: Address;
    readonly bytes: number;
    readonly all: Address;
    readonly counts: Int32Array;
    readonly displacements: Int32Array;
  }>;
  broadcast: Call<{ readonly memory: Address; readonly bytes: number }>;
  /** See `Communicator.reduceToOwners`: the states of all, and the sums if all are 0. */
  reduceToOwners: Call<
    {
      readonly state: number;
      readonly ownership: Ownership;
      readonly values: Address;
      readonly sums: Address;
      readonly active: number;
      readonly add: boolean;
    },
    Uint8Array
  >;
  gatherFromOwners: Call<{ readonly ownership: Ownership; readonly values: Address }>;
  shardsToFirst: Call<Pieces & { readonly shard: Address; readonly values: Address }>;
  finalize: Call<undefined>;
}
