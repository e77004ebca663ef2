/**
 * @file A model that makes samples of a class: the library's way in. `open` returns one, on Node (open.ts) and in
 * browsers (../browser/open-acdit.ts).
 */

import { at } from '../at.ts';
import { AcditError, ArgumentError } from '../errors.ts';
import { invalidOption, type OptionNames, requireKnownOptions } from '../invalid-option.ts';
import type { Image } from '../media/pixels.ts';
import { classIndex, className, requireClass, requireClassNumber } from '../models/acdit/class-names.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import { batchRequests } from '../runs/batches.ts';
import { requireRest } from '../sampling/given.ts';
import { passesOfSample, planSampling, type SamplePlan, type SampleRequest } from '../sampling/request.ts';
import type { PerBlock } from '../sampling/settings.ts';
import { createSemaphore, type Semaphore } from '../semaphore.ts';
import { sliceAxis } from '../tensor/axes.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { GeneratedSample, type SampleFiles } from './sample.ts';
import { type Engine, type Snapshot, snapshots } from './snapshots.ts';

/** A class: its name, or its number. `none` means no class. */
export type ClassChoice = string | number;

/** What to make: a class, or a list of them. An element that is itself a list has a class for each block. */
export type Prompt = ClassChoice | readonly (ClassChoice | readonly ClassChoice[])[];

/** An image or a video: a path, on Node, or in a browser a URL; the bytes of an image file; pixels; or a sample. */
export type ContinueSource = string | Uint8Array | Blob | Image | GeneratedSample;

type Optional<T> = { readonly [Name in keyof T]?: T[Name] | undefined };

/** How samples are made: everything that a {@link SampleRequest} takes, under friendlier names. */
export interface GenerateOptions
  extends Optional<Omit<SampleRequest, 'labels' | 'cfg' | 'guidance' | 'given' | 'first' | 'noise'>> {
  /** Samples of each class (default: 1). */
  readonly count?: number | undefined;
  /**
   * Guidance scale, for all blocks or per block, where 1 is none; or with the noise levels that it holds for (default: the
   * model's own).
   */
  readonly guidance?: PerBlock | SampleRequest['guidance'] | undefined;
  /** An image or a video that every sample continues: its first blocks are kept. */
  readonly continue?: ContinueSource | undefined;
  /** Blocks that `continue` keeps (default: all but one, or as many as there are frames for). */
  readonly keep?: number | undefined;
}

/** Options of {@link Acdit.stream}. */
export interface StreamOptions extends GenerateOptions {
  /** How often samples in progress are shown, at equal distances (default: 10). */
  readonly previews?: number | undefined;
}

const GENERATE_OPTIONS: OptionNames<GenerateOptions> = {
  ...{ count: true, seed: true, preset: true, steps: true, guidance: true, solver: true, timesteps: true },
  ...{ blocks: true, window: true, contextNoise: true, continue: true, keep: true, tuned: true },
  signal: true,
};
const STREAM_OPTIONS: OptionNames<StreamOptions> = { ...GENERATE_OPTIONS, previews: true };

/** At least one sample. */
export type GeneratedSamples = readonly [GeneratedSample, ...GeneratedSample[]];

/** Samples in progress, or at the end the finished ones. */
export interface GenerateEvent {
  /** All samples so far. What an image lacks is grey; a video has the frames so far. */
  readonly samples: GeneratedSamples;
  /** Share of all passes through the network that are done, 0 to 1. */
  readonly progress: number;
  /** True for the last event, whose samples are those that `generate` returns. */
  readonly finished: boolean;
}

/** What a model is made of, on Node or in a browser. */
export interface AcditParts extends Engine {
  /** What computes: `cpu`, `wasm`, `webgpu` or another. */
  readonly device: string;
  readonly files: SampleFiles;
  /** Max samples of one batch. */
  readonly batch: number;
  /** Reads the blocks (1, K, B, C) that are kept of what is continued. */
  readGiven(
    source: Exclude<ContinueSource, GeneratedSample>,
    options: { readonly keep: number | undefined; readonly blocks: number; readonly signal: AbortSignal },
  ): Promise<Tensor<'float32'>>;
  /** Frees everything. */
  close(): Promise<void>;
}

const DEFAULT_PREVIEWS = 10;
/** Max samples of a call, which are all held in memory. */
const MAX_SAMPLES = 2 ** 16;

/**
 * A model, ready to make samples. Any number of calls may run at once: they share the network's passes, and on a CPU each
 * returns the same bits as alone.
 */
export class Acdit implements AsyncDisposable, Disposable {
  readonly config: AcditConfig;
  /** What it makes. */
  readonly kind: 'image' | 'video';
  /** Its classes by name; by number, as texts, if they have no names. */
  readonly classes: readonly string[];
  /** What computes: `cpu`, `wasm`, `webgpu` or another. */
  readonly device: string;
  readonly #parts: AcditParts;
  readonly #end = new AbortController();
  /** Bounds the samples that `generate` makes at a time, and so the memory of their caches; the others wait. */
  readonly #admit: Semaphore;
  #closed: Promise<void> | undefined;

  /** Call `open` instead. */
  constructor(parts: AcditParts) {
    const { config } = parts.sampler;
    this.config = config;
    this.kind = config.frames > 1 ? 'video' : 'image';
    this.classes = config.classNames ?? Array.from({ length: config.classes }, (_, label) => `${label}`);
    this.device = parts.device;
    this.#parts = parts;
    this.#admit = createSemaphore(parts.batch);
  }

  /**
   * Makes samples. The same call returns the same samples; another `seed` gives others.
   * @returns the finished samples, class by class
   * @throws {ArgumentError} if there is no such class or option, with the nearest name, or if an option is out of range
   * @throws the signal's reason once it is aborted; {AcditError} if the model is disposed
   *
   * @example
   * ```ts
   * const [image] = await acdit.generate('sneaker', { seed: 1 });
   * await image.save('sneaker.png');
   * ```
   */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<GeneratedSamples> {
    requireKnownOptions(options, GENERATE_OPTIONS);
    const run = await this.#plan(prompt, options);
    const samples: GeneratedSample[] = [];
    for (const batch of run.batches) {
      const finished = await this.#admit(() => this.#last(batch), batch.labels.length);
      samples.push(...this.#samplesOf(run.plan, batch, finished));
    }
    return atLeastOne(samples);
  }

  /**
   * Makes samples like {@link generate}, and shows them as they grow. Work happens while events are read, and stops if they
   * no longer are.
   *
   * @example
   * ```ts
   * for await (const { samples: [image], progress } of acdit.stream('bag')) {
   *   console.log(progress);
   *   await image.save('bag.png');
   * }
   * ```
   */
  async *stream(prompt: Prompt, options: StreamOptions = {}): AsyncGenerator<GenerateEvent, void, void> {
    requireKnownOptions(options, STREAM_OPTIONS);
    const { previews = DEFAULT_PREVIEWS, ...rest } = options;
    requireCount('previews', previews, 0);
    const { plan, batches } = await this.#plan(prompt, rest);
    const total = passesOfSample(plan) * batches.length;
    const complete: GeneratedSample[] = [];
    let before = 0;
    for (const [number, batch] of batches.entries()) {
      for await (const snapshot of this.#snapshots(batch, previews)) {
        const current = this.#samplesOf(plan, batch, snapshot);
        const finished = snapshot.finished && number === batches.length - 1;
        const progress = (before + snapshot.done) / total;
        yield { samples: atLeastOne([...complete, ...current]), progress, finished };
        if (snapshot.finished) complete.push(...current);
      }
      before += total / batches.length;
    }
  }

  /** Stops all calls and frees the memory. `using` and `await using` call it too. */
  dispose(): Promise<void> {
    this.#end.abort(new AcditError('the model was disposed; open it again'));
    this.#closed ??= this.#parts.close();
    return this.#closed;
  }

  /** Gives back its memory, as {@link Acdit.dispose}: `await using acdit = await open(...)`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /** Gives back its memory, without waiting for it: `using acdit = await open(...)`. */
  [Symbol.dispose](): void {
    void this.dispose();
  }

  /** Checks a call, and divides it into batches. */
  async #plan(prompt: Prompt, options: GenerateOptions) {
    const { config } = this;
    const { count = 1, guidance, continue: source, keep, signal: own, ...rest } = options;
    requireCount('count', count, 1);
    if (keep !== undefined && source === undefined) {
      throw invalidOption('keep', 'is how much of `continue` is kept; give both, or leave it out');
    }
    const signal = own ? AbortSignal.any([own, this.#end.signal]) : this.#end.signal;
    signal.throwIfAborted();
    const classes = labelsOf(config, prompt);
    if (classes.length * count > MAX_SAMPLES) {
      const most = Math.floor(MAX_SAMPLES / classes.length);
      throw invalidOption(
        'count',
        `must be at most ${most}, so that all samples fit in memory, got ${count}`,
      );
    }
    const request = {
      ...defined({
        tuned: this.#parts.sampler.tuned,
        ...rest,
        guidance: isScale(guidance) ? { scale: guidance } : guidance,
      }),
      labels: classes.flatMap((label) => Array<PerBlock>(count).fill(label)),
    };
    const { blocks } = planSampling(config, request);
    const given = source === undefined ? undefined : await this.#given(source, { keep, blocks, signal });
    const continued = { ...request, ...(given && { given }) };
    const batches = [...batchRequests({ ...continued, batch: this.#parts.batch }, { signal })];
    return { plan: planSampling(config, continued), batches };
  }

  /** Returns the blocks to continue: those of a sample as they are, since a file would round them. */
  async #given(
    source: ContinueSource,
    options: Parameters<AcditParts['readGiven']>[1],
  ): Promise<Tensor<'float32'>> {
    if (!(source instanceof GeneratedSample)) return this.#parts.readGiven(source, options);
    const { blocks } = options;
    const whole = at(source.latents.shape, 1);
    const keep = options.keep ?? Math.min(whole, blocks - 1);
    requireRest(this.config, keep, blocks);
    if (keep >= 1 && keep <= whole) return sliceAxis(source.latents, 1, 0, keep);
    throw invalidOption('keep', `must be 1 to ${whole}, the blocks of the sample, got ${keep}`);
  }

  async #last(batch: SampleRequest): Promise<Snapshot> {
    let last: Snapshot | undefined;
    for await (const snapshot of this.#snapshots(batch, 0)) last = snapshot;
    if (!last?.finished) throw new AcditError('the sampler ended without samples');
    return last;
  }

  async *#snapshots(batch: SampleRequest, previews: number): AsyncGenerator<Snapshot, void, void> {
    try {
      yield* snapshots(this.#parts, batch, previews);
    } catch (error) {
      this.#end.signal.throwIfAborted(); // what was disposed of fails in its own way
      throw error;
    }
  }

  #samplesOf(
    { seed }: SamplePlan,
    { labels, first = 0 }: SampleRequest,
    { frames, latents, finished }: Snapshot,
  ): GeneratedSample[] {
    return labels.map(
      (label, n) =>
        new GeneratedSample({
          kind: this.kind,
          label,
          name: [label]
            .flat()
            .map((one) => className(this.config, one))
            .join('/'),
          seed,
          number: first + n,
          frames: at(frames, n),
          latents: sliceAxis(latents, 0, n, n + 1),
          finished,
          files: this.#parts.files,
        }),
    );
  }
}

function isScale(guidance: GenerateOptions['guidance']): guidance is PerBlock {
  return typeof guidance === 'number' || Array.isArray(guidance);
}

/** Returns the number of each class. */
function labelsOf(config: AcditConfig, prompt: Prompt): PerBlock[] {
  const index = classIndex(config);
  const labelOf = (choice: ClassChoice): number => {
    if (typeof choice === 'string') return requireClass(index, choice).label;
    return choice === config.classes ? choice : requireClassNumber(index, choice);
  };
  const choices = typeof prompt === 'object' ? prompt : [prompt];
  if (choices === null || choices.length === 0 || choices[0] === undefined) {
    throw new ArgumentError(
      `give a class, by its name or by a number from 0 to ${config.classes - 1}; 'none' means no class`,
    );
  }
  return choices.map((choice) => (typeof choice === 'object' ? choice.map(labelOf) : labelOf(choice)));
}

function requireCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw invalidOption(name, `must be a whole number of at least ${least}, got ${value}`);
}

function atLeastOne(samples: readonly GeneratedSample[]): GeneratedSamples {
  const [first, ...others] = samples;
  if (!first) throw new AcditError('there are no samples');
  return [first, ...others];
}
