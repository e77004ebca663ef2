/**
 * @file The program of the thread that calls MPI, and alone does: then MPI need not be safe for threads, the order of its
 * calls is that of the messages, and neither the event loop nor ONNX Runtime waits for the network.
 */

import { at } from '../at.ts';
import { serveWorkerThread } from '../remote/node.ts';
import { transferred } from '../remote/serve.ts';
import type { Address, MpiCalls } from './mpi-calls.ts';
import { type Mpi, openMpi } from './mpi-library.ts';
import { deals, type Ownership } from './ownership.ts';

const FLOAT = 4;

let opened: Mpi | undefined;
/** Parts of the ranks for the pieces of a deal, before they are added. */
let received = new Float32Array();

function mpi(): Mpi {
  if (!opened) throw new Error('MPI is not open');
  return opened;
}

serveWorkerThread<MpiCalls>({
  async open({ names }) {
    opened = await openMpi(names);
    const { rank, size, version, file } = opened;
    return { rank, size, version, file };
  },
  async gatherToAll({ bytes, counts }) {
    const all = gatherBytes(bytes, counts);
    return transferred(all, [all]);
  },
  async gatherToFirst({ memory, bytes, all, counts, displacements }) {
    mpi().gatherToFirst(memory, bytes, all, counts, displacements);
  },
  async broadcast({ memory, bytes }) {
    mpi().broadcast(memory, bytes);
  },
  async reduceToOwners({ state, ownership, values, sums, active, add }) {
    const states = gatherBytes(Uint8Array.of(state), new Int32Array(mpi().size).fill(1));
    if (states.every((other) => other === 0)) reduce(ownership, values, sums, active, add);
    return states;
  },
  async gatherFromOwners({ ownership, values }) {
    for (const { base, counts, displacements } of deals(ownership, mpi().rank)) {
      mpi().gatherFloats(values + bytesOf(base), counts, displacements);
    }
  },
  async shardsToFirst({ ownership, first, end, shard, values }) {
    const { rank } = mpi();
    const start = at(ownership.offsets, first);
    for (const { base, counts, displacements, own } of deals(ownership, rank, first, end)) {
      const from = own === undefined ? 0 : at(ownership.shardOffsets, own);
      const to = values === 0n ? values : values + bytesOf(base - start);
      const inBytes = [counts, displacements].map((list) => list.map((count) => count * FLOAT));
      mpi().gatherToFirst(
        shard + bytesOf(from),
        at(counts, rank) * FLOAT,
        to,
        at(inBytes, 0),
        at(inBytes, 1),
      );
    }
  },
  async finalize() {
    opened?.finalize();
    opened = undefined;
  },
});

function bytesOf(floats: number): bigint {
  return BigInt(floats * FLOAT);
}

function gatherBytes(bytes: Uint8Array, counts: Int32Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(counts.reduce((sum, count) => sum + count, 0));
  mpi().gatherToAll(bytes, counts, all);
  return all;
}

/** Sends every owner its pieces of this rank's values; adds what the first `active` ranks sent, in their order. */
function reduce(ownership: Ownership, values: Address, sums: Address, active: number, add: boolean): void {
  const { rank, size, copy, addFloats, exchangeFloats } = mpi();
  const nothing = new Int32Array(size);
  for (const { base, counts, displacements, own } of deals(ownership, rank)) {
    const length = at(counts, rank);
    if (received.length < active * length) received = new Float32Array(active * length);
    const parts = nothing.map((_, sender) => (sender < active ? length : 0));
    const starts = parts.map((part, sender) => part * sender);
    const sent = rank < active ? counts : nothing;
    exchangeFloats(values + bytesOf(base), sent, displacements, received, parts, starts);
    if (own === undefined) continue;
    const sum = sums + bytesOf(at(ownership.shardOffsets, own));
    for (let sender = 0; sender < active; sender++) {
      const part = received.subarray(sender * length);
      if (sender === 0 && !add) copy(sum, part, length * FLOAT);
      else addFloats(part, sum, length);
    }
  }
}
