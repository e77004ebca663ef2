/**
 * @file A step on several ranks. Micro-batch m is computed by rank m mod R. After each round of R micro-batches the owners of
 * the pieces add what the ranks have, in the order of the micro-batches, while the next round is computed; at the end they
 * step their pieces and send all ranks the new weights. So all numbers are those of one process, for any R.
 */

import { at, float32At } from '../at.ts';
import { SharedFailure } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ROUND, settleRound } from '../distributed/round.ts';
import { TrainingError } from '../errors.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { defined } from '../records.ts';
import { elementCount, float32 } from '../tensor/tensor.ts';
import type { TrainingPoint } from './checkpoint.ts';
import { gradientSquares, isLogged } from './gradient-norms.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import { ROW } from './optimizer.ts';
import { allocate, piecesOfVector, type ShardedState } from './sharded-state.ts';
import { stepSettings } from './step-settings.ts';
import type { RankReport, Stepper, StepperParts, StepResult } from './team.ts';

/** What a stepper of ranks is made of. */
export interface RankStepperParts extends StepperParts {
  readonly state: ShardedState;
  readonly ranks: Ranks;
}

/** A round whose gradients travel. */
interface Sent {
  /** What the ranks said at its end. */
  readonly states: Promise<Uint8Array>;
  /** Why this rank cannot continue, if it cannot. */
  readonly failure: Failure | undefined;
}

interface Failure {
  readonly error: unknown;
}

/** What this rank has done of a step. */
interface Tally {
  /** Losses of its micro-batches, in order. */
  readonly losses: number[];
  computeSeconds: number;
  waitSeconds: number;
}

type Source = AsyncGenerator<NoisedBatch, void, void>;

/** Takes steps, together with the other ranks. */
export class RankStepper implements Stepper {
  readonly #parts: RankStepperParts;
  readonly #buffers: readonly ReturnType<typeof allocate>[];
  #whole = true;
  /** Bytes that this rank had sent when it last reported. */
  #reported: number;

  constructor(parts: RankStepperParts) {
    this.#parts = parts;
    this.#reported = parts.ranks.communicator.bytesSent;
    const rounds = this.#rounds;
    // One is filled while the other travels.
    this.#buffers = Array.from({ length: Math.min(rounds, 2) }, () => allocate(parts.state.layout));
  }

  get #rounds(): number {
    const { recipe, ranks } = this.#parts;
    return Math.ceil(recipe.training.accumulate / ranks.communicator.size);
  }

  isWhole(): boolean {
    return this.#whole && this.#parts.ranks.communicator.alive;
  }

  async step(point: TrainingPoint, source: Source): Promise<StepResult> {
    const { recipe, optimizer, state, ranks } = this.#parts;
    const { communicator } = ranks;
    const tally: Tally = { losses: [], computeSeconds: 0, waitSeconds: 0 };
    await this.#sumGradients(source, tally);
    const { loss, reports } = await this.#meanLoss(tally);
    const norm = (await this.#norm()) / recipe.training.accumulate;
    const settings = verdictOfAll(communicator.rank, () => stepSettings(this.#parts, point.step, loss, norm));
    const gradientNorms = await this.#groupNorms(point.step);
    this.#whole = false;
    await optimizer.step(state.own, state.own.sums, settings);
    await communicator.gatherFromOwners(state.layout.ownership, state.values);
    this.#whole = true;
    return {
      loss,
      gradientNorm: norm,
      learningRate: settings.learningRate,
      ...defined({ gradientNorms }),
      ranks: reports,
    };
  }

  /** Sums the gradients of all micro-batches, in their order, into the owners' shards. */
  async #sumGradients(source: Source, tally: Tally): Promise<void> {
    const { recipe, state, ranks } = this.#parts;
    const { communicator, wish } = ranks;
    let sent: Sent | undefined;
    for (let round = 0; round < this.#rounds; round++) {
      const active = Math.min(communicator.size, recipe.training.accumulate - round * communicator.size);
      const { values, tensors } = at(this.#buffers, round % this.#buffers.length);
      const failure = await this.#compute(
        source,
        communicator.rank < active ? tensors : undefined,
        sent,
        tally,
      );
      await this.#settle(sent, tally);
      const options = {
        active,
        add: round > 0,
        state: failure === undefined ? ROUND.continue : wish.aborted ? ROUND.stop : ROUND.failed,
      };
      const { ownership } = state.layout;
      const states = communicator.reduceToOwners(ownership, values, state.shards.sums, options);
      states.catch(() => {}); // seen when it is settled
      sent = { states, failure };
    }
    await this.#settle(sent, tally);
  }

  /** Computes the next micro-batch, if there is one for this rank, until the round before says otherwise. */
  async #compute(
    source: Source,
    gradients: Weights | undefined,
    before: Sent | undefined,
    tally: Tally,
  ): Promise<Failure | undefined> {
    const { pass, state, ranks } = this.#parts;
    const started = performance.now();
    const halt = new AbortController();
    before?.states.then(
      (states) => states.every((said) => said === ROUND.continue) || halt.abort(),
      () => halt.abort(),
    );
    const onWish = (): void => halt.abort(ranks.wish.reason);
    ranks.wish.addEventListener('abort', onWish);
    if (ranks.wish.aborted) onWish();
    try {
      halt.signal.throwIfAborted();
      if (!gradients) return undefined;
      const next = await source.next();
      if (next.done) throw new TrainingError('the data came to an end');
      tally.losses.push((await pass.run(state.weights, next.value, gradients, halt.signal)).loss);
      return undefined;
    } catch (error) {
      return { error };
    } finally {
      ranks.wish.removeEventListener('abort', onWish);
      tally.computeSeconds += secondsSince(started);
    }
  }

  /** Waits for a round. @throws what made a rank stop or fail, on all of them */
  async #settle(sent: Sent | undefined, tally: Tally): Promise<void> {
    if (!sent) return;
    const started = performance.now();
    const states = await sent.states;
    tally.waitSeconds += secondsSince(started);
    await settleRound(this.#parts.ranks, states, sent.failure);
  }

  /** The mean loss over all micro-batches, added in their order, and what each rank did. */
  async #meanLoss({ losses, computeSeconds, waitSeconds }: Tally) {
    const { recipe, ranks } = this.#parts;
    const { accumulate } = recipe.training;
    const { communicator } = ranks;
    const bytesSent = communicator.bytesSent - this.#reported;
    this.#reported += bytesSent;
    const numbers = Float64Array.of(computeSeconds, waitSeconds, bytesSent, ...losses);
    const all = (await communicator.gatherToAll(new Uint8Array(numbers.buffer))).map(
      (bytes) => new Float64Array(bytes.slice().buffer),
    );
    let loss = 0;
    for (let micro = 0; micro < accumulate; micro++) {
      loss += at(at(all, micro % all.length), 3 + Math.floor(micro / all.length)) / accumulate;
    }
    const reports = all.map(
      (of, rank): RankReport => ({
        rank,
        microBatches: of.length - 3,
        computeSeconds: at(of, 0),
        waitSeconds: at(of, 1),
        bytesSent: at(of, 2),
      }),
    );
    return { loss, reports };
  }

  /** The norms of the sums by group, on the first rank, to which they are brought vector by vector. */
  async #groupNorms(step: number): Promise<Record<string, number> | undefined> {
    const { recipe, state, ranks } = this.#parts;
    const { communicator } = ranks;
    if (!isLogged(recipe, step)) return undefined;
    const { layout, shards } = state;
    const isFirst = communicator.rank === 0;
    const groups = gradientSquares();
    for (const [vector, { length }] of layout.vectors.entries()) {
      const values = new Float32Array(isFirst ? length : 0);
      await communicator.shardsToFirst(layout.ownership, piecesOfVector(layout, vector), shards.sums, values);
      if (!isFirst) continue;
      const own = [...layout.places].filter(([, place]) => place.vector === vector);
      groups.add(
        new Map(
          own.map(([name, { shape, start }]) => [
            name,
            float32(shape, values.subarray(start, start + elementCount(shape))),
          ]),
        ),
      );
    }
    return isFirst ? groups.norms(1 / recipe.training.accumulate) : undefined;
  }

  /** The norm of the sums, whose rows are added in the order of the whole. */
  async #norm(): Promise<number> {
    const { optimizer, state, ranks } = this.#parts;
    const { lengths, owners, ranks: count } = state.layout.ownership;
    const own: number[] = [];
    for (const piece of state.own.sums) {
      for await (const rows of optimizer.rowSums(new Map([piece]))) own.push(...rows);
    }
    const all = (await ranks.communicator.gatherToAll(new Uint8Array(Float32Array.from(own).buffer))).map(
      (bytes) => new Float32Array(bytes.slice().buffer),
    );
    const read = new Array<number>(count).fill(0);
    let sum = 0;
    for (const [piece, length] of lengths.entries()) {
      const owner = at(owners, piece);
      const from = at(read, owner);
      const end = from + Math.ceil(length / ROW);
      for (let row = from; row < end; row++) sum += float32At(at(all, owner), row);
      read[owner] = end;
    }
    return Math.sqrt(sum);
  }
}

/** Runs what has the same result on all ranks; if it fails, the first one throws its error, and reports it. */
function verdictOfAll<T>(rank: number, verdict: () => T): T {
  try {
    return verdict();
  } catch (error) {
    if (rank === 0 || !(error instanceof TrainingError)) throw error;
    throw new SharedFailure(error.message, { cause: error });
  }
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
