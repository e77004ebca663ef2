/**
 * @file Training on several ranks, but for its steps: what the first rank does for all, such as writing a checkpoint, and how
 * the others help it. It asks for one thing after another, and they answer until it is done.
 */

import { at, take } from '../at.ts';
import { agree, SIGN_OF_LIFE_MS } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ownPieces } from '../distributed/ownership.ts';
import type { LazyTensor } from '../formats/tensor-archive.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import type { StoredState, TrainingPoint } from './checkpoint.ts';
import type { BatchesStart } from './noising.ts';
import type { OptimizerState } from './optimizer.ts';
import { RankStepper } from './rank-stepper.ts';
import {
  allocateState,
  piecesOfVector,
  SHARDED_PARTS,
  type ShardedPart,
  type ShardedState,
} from './sharded-state.ts';
import type { Stepper, StepperParts, Team } from './team.ts';

/** What the first rank asks the others for, as numbers. */
const ASK = { nothing: 0, gather: 1, fill: 2, begin: 3, weights: 4, done: 5, stop: 6, fail: 7 } as const;

/** Which part of which vector is gathered or filled. */
interface Slot {
  readonly part: ShardedPart;
  readonly vector: number;
}

/** The ranks as a team, with their state. */
export class RankTeam implements Team {
  readonly #state: ShardedState;
  readonly #ranks: Ranks;
  /** The vector that was gathered last: its tensors are read one after another. */
  #gathered: (Slot & { readonly values: Float32Array }) | undefined;
  /** What the first rank has asked for: one thing at a time. */
  #asking: Promise<unknown> = Promise.resolve();

  constructor(config: AcditConfig, ranks: Ranks) {
    this.#ranks = ranks;
    this.#state = allocateState(config, ranks.communicator.rank, ranks.communicator.size);
  }

  /** All weights, and this rank's pieces of the rest. */
  get state(): OptimizerState {
    return { ...this.#state.own, weights: this.#state.weights };
  }

  /** The whole state, for the work of the first rank; what others have is gathered when it is read. */
  get stored(): StoredState {
    const lazy = (part: ShardedPart) =>
      new Map(
        [...this.#state.layout.places].map(([name, { shape }]): [string, LazyTensor] => [
          name,
          { dtype: 'float32', shape, read: () => this.#read(part, name) },
        ]),
      );
    const [ema, firstMoments, secondMoments] = SHARDED_PARTS.map(lazy);
    return {
      weights: this.#state.weights,
      ema: ema!,
      firstMoments: firstMoments!,
      secondMoments: secondMoments!,
    };
  }

  createStepper(parts: StepperParts): Stepper {
    return new RankStepper({ ...parts, state: this.#state, ranks: this.#ranks });
  }

  async average(): Promise<Weights> {
    const average = new Map<string, Tensor<'float32'>>();
    for (const [name, { shape }] of this.#state.layout.places) {
      const { data } = await this.#read('ema', name);
      average.set(name, float32(shape, data.slice()));
    }
    return average;
  }

  async lead(work: () => Promise<void>): Promise<void> {
    const { communicator, stop, wish } = this.#ranks;
    if (communicator.rank > 0) return this.#help();
    const onWish = (): void => stop.abort(wish.reason);
    wish.addEventListener('abort', onWish);
    if (wish.aborted) onWish();
    const alive = setInterval(() => this.#ask('nothing').catch(() => {}), SIGN_OF_LIFE_MS);
    try {
      await work();
    } catch (error) {
      clearInterval(alive);
      if (communicator.alive) {
        await this.#ask(wish.aborted ? 'stop' : 'fail');
        if (!wish.aborted) await agree(communicator, () => Promise.reject(error));
      }
      throw error;
    } finally {
      clearInterval(alive);
      wish.removeEventListener('abort', onWish);
      this.#gathered = undefined;
    }
    await this.#ask('done');
  }

  /** Begins with weights, for the work of the first rank. */
  async begin(weights: Weights): Promise<void> {
    for (const [name, { data }] of this.#state.weights) data.set(weights.get(name)!.data);
    await this.#ask('begin');
  }

  /** Takes over a stored state, for the work of the first rank. */
  async load(read: (part: keyof OptimizerState, name: string) => Promise<Tensor<'float32'>>): Promise<void> {
    for (const [name, { data }] of this.#state.weights) data.set((await read('weights', name)).data);
    await this.#ask('weights');
    const { places, vectors } = this.#state.layout;
    for (const part of SHARDED_PARTS) {
      for (const [vector, { length }] of vectors.entries()) {
        const values = new Float32Array(length);
        for (const [name, place] of places) {
          if (place.vector === vector) values.set((await read(part, name)).data, place.start);
        }
        await this.#ask('fill', { part, vector }, values);
      }
    }
  }

  /** Gives all ranks the point where the training begins. Collective. */
  async share({ step, position }: BatchesStart): Promise<TrainingPoint> {
    const numbers = Float64Array.of(step, position);
    await this.#ranks.communicator.broadcast(numbers);
    return { step: at(numbers, 0), position: at(numbers, 1), state: this.state };
  }

  async #read(part: ShardedPart, name: string): Promise<Tensor<'float32'>> {
    const { vector, start, shape } = this.#state.layout.places.get(name)!;
    if (this.#gathered?.part !== part || this.#gathered.vector !== vector) {
      const values = new Float32Array(at(this.#state.layout.vectors, vector).length);
      await this.#ask('gather', { part, vector }, values);
      this.#gathered = { part, vector, values };
    }
    return float32(shape, this.#gathered.values.subarray(start, start + elementCount(shape)));
  }

  #ask(what: keyof typeof ASK, slot?: Slot, values = new Float32Array()): Promise<void> {
    const asked = this.#asking.then(async () => {
      const numbers = slot ? [SHARDED_PARTS.indexOf(slot.part), slot.vector] : [0, 0];
      await this.#ranks.communicator.broadcast(Float64Array.of(ASK[what], ...numbers));
      await this.#answer(ASK[what], slot, values);
    });
    this.#asking = asked.catch(() => {});
    return asked;
  }

  /** Answers the first rank until its work is done. */
  async #help(): Promise<void> {
    const { communicator, stop } = this.#ranks;
    for (;;) {
      const asked = new Float64Array(3);
      await communicator.broadcast(asked);
      const [what, part, vector] = take([...asked], 3);
      if (what === ASK.done) return;
      if (what === ASK.stop) {
        stop.abort(new Error('interrupted'));
        stop.signal.throwIfAborted();
      }
      if (what === ASK.fail) return agree(communicator, async () => {});
      const slot = { part: at(SHARDED_PARTS, part), vector };
      const { length } = at(this.#state.layout.vectors, vector);
      await this.#answer(what, slot, new Float32Array(what === ASK.fill ? length : 0));
    }
  }

  /** What all ranks do after they were asked. */
  async #answer(what: number, slot: Slot | undefined, values: Float32Array): Promise<void> {
    const { communicator } = this.#ranks;
    const { layout, own, shards } = this.#state;
    const { ownership } = layout;
    if (what === ASK.weights || what === ASK.begin) await communicator.broadcast(this.#state.values);
    if (what === ASK.begin) for (const [piece, { data }] of own.ema) data.set(own.weights.get(piece)!.data);
    if (!slot) return;
    const range = piecesOfVector(layout, slot.vector);
    const shard = shards[slot.part];
    if (what === ASK.gather) await communicator.shardsToFirst(ownership, range, shard, values);
    if (what !== ASK.fill) return;
    await communicator.broadcast(values);
    for (const piece of ownPieces(ownership, communicator.rank, range.first, range.end)) {
      const from = at(ownership.offsets, piece) - at(ownership.offsets, range.first);
      const part = values.subarray(from, from + at(ownership.lengths, piece));
      shard.set(part, at(ownership.shardOffsets, piece));
    }
  }
}
