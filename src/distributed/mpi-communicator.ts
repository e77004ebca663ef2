/** @file The processes that a launcher started, connected by MPI. */

import { at } from '../at.ts';
import { DeviceError } from '../errors.ts';
import { programBeside, startWorkerThread } from '../remote/node.ts';
import { connect, type Remote } from '../remote/remote.ts';
import type { Communicator, RoundOptions } from './communicator.ts';
import type { Launch } from './launcher.ts';
import type { Address, MpiCalls, MpiWorld } from './mpi-calls.ts';
import { libraryNames, type Native, openNative } from './mpi-library.ts';
import type { Ownership } from './ownership.ts';

/** How to connect. */
export interface ConnectOptions {
  /** The library to use; by default the one that the launcher belongs to. */
  readonly library?: string | undefined;
  /** Seconds that a call may take before `onHang` is called (default: 30 minutes). */
  readonly patience?: number;
  /** Called with the name of a call that has not returned within `patience`; the process should then end. */
  readonly onHang?: (call: string, seconds: number) => void;
}

/** Seconds. */
const PATIENCE = 1800;

/** Bytes of one message: counts of MPI are 32-bit numbers, and large ones make it allocate as much again. */
const PIECE = 2 ** 24;

/**
 * Connects to the processes of a launch.
 * @throws {DeviceError} if there is no MPI library, it cannot be initialized, or it does not belong to the launcher.
 */
export async function connectRanks(launch: Launch, options: ConnectOptions = {}): Promise<Communicator> {
  requireConnected(launch);
  // UCX replaces malloc and handles segmentation faults, and V8 tolerates neither. Open MPI and MPICH may load it.
  process.env.UCX_MEM_EVENTS ??= 'no';
  process.env.UCX_ERROR_SIGNALS ??= '';
  const native = await openNative();
  const program = programBeside(import.meta.url, 'mpi-thread');
  const thread = connect<MpiCalls>(startWorkerThread(program, 'the thread that calls MPI'));
  const communicator = new MpiCommunicator(thread, native, launch, options);
  try {
    await communicator.open(libraryNames(launch, options.library));
    return communicator;
  } catch (error) {
    await thread.dispose();
    throw error;
  }
}

function requireConnected({ launcher, size, connected }: Launch): void {
  if (connected) return;
  throw new DeviceError(
    `${launcher} started ${size} processes that cannot find each other; start them with srun --mpi=pmix for Open MPI, or ` +
      '--mpi=pmi2 for MPICH (srun --mpi=list shows what there is)',
  );
}

class MpiCommunicator implements Communicator {
  readonly #thread: Remote<MpiCalls>;
  readonly #native: Native;
  readonly #launch: Launch;
  readonly #patience: number;
  readonly #onHang: (call: string, seconds: number) => void;
  #world: MpiWorld = { rank: 0, size: 0, version: '', file: '' };
  #bytesSent = 0;
  #failed = false;
  /** When the calls under way began, and how many seconds the longest took. */
  readonly #started = new Set<number>();
  #longest = 0;
  /** Arrays whose addresses MPI has: nothing else keeps them. */
  readonly #inUse = new Set<readonly NodeJS.TypedArray[]>();
  #closing: Promise<void> | undefined;

  constructor(
    thread: Remote<MpiCalls>,
    native: Native,
    launch: Launch,
    { patience = PATIENCE, onHang = () => {} }: ConnectOptions,
  ) {
    this.#thread = thread;
    this.#native = native;
    this.#launch = launch;
    this.#patience = patience;
    this.#onHang = onHang;
  }

  get rank(): number {
    return this.#world.rank;
  }

  get size(): number {
    return this.#world.size;
  }

  get localRank(): number {
    return this.#launch.localRank;
  }

  get library(): string {
    return this.#world.version;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get waiting() {
    const [oldest] = this.#started;
    return { current: oldest === undefined ? 0 : secondsSince(oldest), longest: this.#longest };
  }

  get alive(): boolean {
    return this.#thread.alive && !this.#failed;
  }

  async open(names: readonly string[]): Promise<void> {
    this.#world = await this.#call('open', { names });
    const { size, version, file } = this.#world;
    const { launcher, size: started = size } = this.#launch;
    if (size === started) return;
    throw new DeviceError(
      `${launcher} started ${started} processes, but ${version} (${file}) sees ${size}: they do not belong together; name ` +
        "the launcher's own library in ACDIT_MPI_LIBRARY",
    );
  }

  async gatherToAll(bytes: Uint8Array): Promise<Uint8Array[]> {
    const counts = await this.#lengths(bytes);
    this.#bytesSent += bytes.length * (this.size - 1);
    return split(await this.#call('gatherToAll', { bytes, counts }), counts);
  }

  async gatherToFirst(bytes: Uint8Array): Promise<Uint8Array[]> {
    const lengths = await this.#lengths(bytes);
    const longest = Math.max(...lengths);
    const all = Array.from(lengths, (length) => new Uint8Array(this.rank === 0 ? length : 0));
    if (this.rank !== 0) this.#bytesSent += bytes.length;
    // In parts of equal size, so that no displacement is beyond 32 bits.
    const room = new Uint8Array(this.rank === 0 ? Math.min(longest, PIECE) * this.size : 0);
    for (let start = 0; start < longest; start += PIECE) {
      const counts = lengths.map((length) => Math.max(0, Math.min(PIECE, length - start)));
      const displacements = counts.map((_, rank) => rank * Math.min(longest, PIECE));
      const part = bytes.subarray(start, start + at(counts, this.rank));
      const [memory, target] = [this.#addressOf(part), this.#addressOf(room)];
      const given = { memory, bytes: part.length, all: target, counts, displacements };
      await this.#call('gatherToFirst', given, [part, room]);
      for (const [rank, whole] of all.entries()) {
        if (start >= whole.length) continue;
        const from = at(displacements, rank);
        whole.set(room.subarray(from, from + at(counts, rank)), start);
      }
    }
    return all;
  }

  async broadcast(array: NodeJS.TypedArray): Promise<void> {
    const memory = this.#addressOf(array);
    if (this.rank === 0) this.#bytesSent += array.byteLength * (this.size - 1);
    for (let start = 0; start < array.byteLength; start += PIECE) {
      const bytes = Math.min(PIECE, array.byteLength - start);
      await this.#call('broadcast', { memory: memory + BigInt(start), bytes }, [array]);
    }
  }

  async reduceToOwners(
    ownership: Ownership,
    values: Float32Array,
    sums: Float32Array,
    options: RoundOptions,
  ): Promise<Uint8Array> {
    const addresses = { values: this.#addressOf(values), sums: this.#addressOf(sums) };
    const states = await this.#call('reduceToOwners', { ownership, ...addresses, ...options }, [
      values,
      sums,
    ]);
    const isReduced = states.every((state) => state === 0);
    if (isReduced && this.rank < options.active) this.#bytesSent += bytesOfOthers(ownership, this.rank);
    return states;
  }

  async gatherFromOwners(ownership: Ownership, values: Float32Array): Promise<void> {
    await this.#call('gatherFromOwners', { ownership, values: this.#addressOf(values) }, [values]);
    this.#bytesSent += ownBytes(ownership, this.rank) * (this.size - 1);
  }

  async shardsToFirst(
    ownership: Ownership,
    range: { readonly first: number; readonly end: number },
    shard: Float32Array,
    values: Float32Array,
  ): Promise<void> {
    const addresses = { shard: this.#addressOf(shard), values: this.#addressOf(values) };
    await this.#call('shardsToFirst', { ownership, ...range, ...addresses }, [shard, values]);
  }

  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #leave(): Promise<void> {
    if (this.alive) await this.#call('finalize', undefined);
    await this.#thread.dispose();
  }

  exit(code: number): never {
    return this.#native.exit(code);
  }

  /** Everyone's length. */
  async #lengths(bytes: Uint8Array): Promise<Int32Array> {
    const own = new Uint8Array(Int32Array.of(bytes.length).buffer);
    const counts = new Int32Array(this.size).fill(own.length);
    const all = await this.#call('gatherToAll', { bytes: own, counts });
    return new Int32Array(all.slice().buffer);
  }

  /** 0 for an empty array. */
  #addressOf(array: NodeJS.TypedArray): Address {
    return array.length === 0 ? 0n : this.#native.addressOf(array);
  }

  /** @param kept arrays whose addresses are given; they must live until the call has ended */
  async #call<Name extends keyof MpiCalls>(
    name: Name,
    given: MpiCalls[Name]['given'],
    kept: readonly NodeJS.TypedArray[] = [],
  ): Promise<MpiCalls[Name]['result']> {
    if (this.#failed)
      throw new DeviceError('an earlier call to MPI has failed, so the ranks are no longer connected');
    this.#inUse.add(kept);
    const started = performance.now();
    this.#started.add(started);
    const watchdog = setTimeout(() => this.#onHang(name, this.#patience), this.#patience * 1000);
    try {
      return await this.#thread.call(name, given);
    } catch (error) {
      this.#failed = true;
      throw error;
    } finally {
      clearTimeout(watchdog);
      this.#longest = Math.max(this.#longest, secondsSince(started));
      this.#started.delete(started);
      this.#inUse.delete(kept);
    }
  }
}

/** Bytes of the pieces that belong to a rank. */
function ownBytes({ lengths, owners }: Ownership, rank: number): number {
  return 4 * lengths.reduce((sum, length, piece) => (owners[piece] === rank ? sum + length : sum), 0);
}

/** Bytes of the pieces that do not belong to a rank. */
function bytesOfOthers(ownership: Ownership, rank: number): number {
  return 4 * ownership.lengths.reduce((sum, length) => sum + length, 0) - ownBytes(ownership, rank);
}

function split(all: Uint8Array, counts: Int32Array): Uint8Array[] {
  let end = 0;
  return Array.from(counts, (count) => {
    end += count;
    return all.subarray(end - count, end);
  });
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
