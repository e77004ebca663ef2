/** @file Searches the guidance of a model by the Fréchet distance of few samples to a reference set. */

import { rm } from 'node:fs/promises';
import { z } from 'zod';
import type { Guidance } from '../diffusion/guidance.ts';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import { ArgumentError } from '../errors.ts';
import type { Metrics } from '../evaluation/evaluate.ts';
import { companionFile } from '../io/atomic-write.ts';
import { isFile } from '../io/file-source.ts';
import { defaultGuidance } from '../models/acdit/config.ts';
import type { SamplerSource } from './batches.ts';
import { evaluateSamples } from './evaluate.ts';
import type { NetworkOptions } from './feature-network.ts';
import type { ActiveContext } from './reporter.ts';
import { sampleNpz } from './sample-npz.ts';

/** What guidance is chosen by. */
export interface GuidanceSearch extends NetworkOptions {
  /** Images or videos to compare samples with: what `evaluateSamples` takes. */
  readonly reference: string;
  /** Samples per trial (default: 500). */
  readonly searchSamples?: number | undefined;
  /** Autoencoder of a model of latents. */
  readonly vae?: string | undefined;
}

export const trialSchema = z.object({
  guidance: guidanceSchema,
  /** Fréchet distance of the network's features. */
  distance: z.number(),
  labelAccuracy: z.number().exactOptional(),
});

/** A guidance, and how good its samples are. */
export interface GuidanceTrial {
  readonly guidance: Guidance;
  readonly distance: number;
  readonly labelAccuracy?: number;
}

/** Default samples per trial: enough to order guidances, though their distances are too large. */
export const SEARCH_SAMPLES = 500;
/** How trials are sampled: close to the exact solution, in few passes. */
const TRIAL_SETTINGS = { steps: 10, timesteps: 'logsnr', seed: 0 } as const;
/** Where the search begins (Kynkäänniemi et al. 2024): a higher scale than the model's own, at middle noise levels. */
const START = { factor: 1.15, interval: [-3.4, 1.9] } as const;
/** Moves of an end of the interval, in log signal-to-noise. */
const MOVE = 1;
const SWEEPS = 2;
/** Guidance may make the label accuracy lower than the model's own guidance by no more. */
const LOST_ACCURACY = 0.02;

/** A search under way. */
export interface SearchState {
  /** Trials of an earlier run with the same options. */
  readonly trials: readonly GuidanceTrial[];
  /** Path that files of the search are named after. */
  readonly path: string;
  /** Keeps the trials. */
  save(trials: readonly GuidanceTrial[]): Promise<void>;
}

/**
 * Searches scale and interval, one at a time, for the smallest Fréchet distance. Guidance with clearly lower label accuracy
 * than the model's own is passed over, if the network is a classifier.
 * @throws {ArgumentError} if the two sets have no Fréchet distance; what sampling and evaluating throw.
 */
export async function searchGuidance(
  source: SamplerSource,
  search: GuidanceSearch,
  state: SearchState,
  context: ActiveContext,
): Promise<Guidance> {
  const trials = [...state.trials];
  const features = companionFile(state.path, '.reference.npz');
  async function tried(guidance: Guidance): Promise<GuidanceTrial> {
    const key = JSON.stringify(guidance);
    const known = trials.find((trial) => JSON.stringify(trial.guidance) === key);
    if (known) return known;
    const trial = await tryGuidance(source, { search, guidance, features, path: state.path }, context);
    trials.push(trial);
    await state.save(trials);
    return trial;
  }
  const own = await tried(JSON.parse(JSON.stringify(defaultGuidance(source.model.config))));
  const floor = (own.labelAccuracy ?? 0) - LOST_ACCURACY;
  const better = (a: GuidanceTrial, b: GuidanceTrial): GuidanceTrial =>
    b.distance < a.distance && (b.labelAccuracy ?? 1) >= floor ? b : a;
  const scale = Math.max(...[own.guidance.scale].flat());
  let best = await tried({ scale: rounded(scale * START.factor), interval: START.interval });
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const before = best;
    for (const move of MOVES) {
      const moved = move(best.guidance);
      if (moved) best = better(best, await tried(moved));
    }
    if (best === before) break;
  }
  await rm(features, { force: true });
  return (best.labelAccuracy ?? 1) >= floor ? better(own, best).guidance : own.guidance;
}

/** What is changed to find better guidance. */
const MOVES: readonly ((guidance: Guidance) => Guidance | undefined)[] = [
  ...[START.factor, 1 / START.factor].map((factor) => ({ scale, ...rest }: Guidance) => {
    return typeof scale === 'number' ? { scale: rounded(scale * factor), ...rest } : undefined;
  }),
  ...[
    [-MOVE, 0],
    [MOVE, 0],
    [0, -MOVE],
    [0, MOVE],
  ].map(([below = 0, above = 0]) => ({ interval, ...rest }: Guidance): Guidance | undefined => {
    if (!interval) return undefined;
    const [from, to] = [rounded(interval[0] + below), rounded(interval[1] + above)];
    return from < to ? { ...rest, interval: [from, to] } : undefined;
  }),
];

function rounded(value: number): number {
  return Number(value.toFixed(2));
}

/** What a trial is of, and where its files are. */
interface Trial {
  readonly search: GuidanceSearch;
  readonly guidance: Guidance;
  /** File of the reference's features, once they are computed. */
  readonly features: string;
  readonly path: string;
}

async function tryGuidance(
  source: SamplerSource,
  { search, guidance, features, path }: Trial,
  { report, signal }: ActiveContext,
): Promise<GuidanceTrial> {
  const { reference, searchSamples = SEARCH_SAMPLES, vae, ...network } = search;
  const npz = companionFile(path, '.trial.npz');
  const progress = report.progress;
  const context = { report: { ...report, say() {}, note() {}, warn() {}, emit() {}, progress }, signal };
  const made = { ...source, ...context, ...TRIAL_SETTINGS, npz, count: searchSamples, guidance, vae };
  const { done } = await sampleNpz({ ...made, overwrite: true });
  if (!done) throw signal.reason;
  const isKnown = await isFile(features);
  const { metrics } = await evaluateSamples({
    ...network,
    ...context,
    device: source.device,
    reference: isKnown ? features : reference,
    samples: npz,
    ...(!isKnown && { save: { reference: features } }),
  });
  await rm(npz, { force: true });
  const trial = { guidance, distance: requireDistance(metrics, search), ...accuracyOf(metrics) };
  report.say(`${describe(trial)}`);
  report.emit({ kind: 'trial', ...trial });
  return JSON.parse(JSON.stringify(trial));
}

function requireDistance(
  { fid, fvd, frechetDistance }: Metrics,
  { reference }: Pick<GuidanceSearch, 'reference'>,
): number {
  const distance = fid ?? fvd ?? frechetDistance;
  if (distance !== undefined) return distance;
  throw new ArgumentError(`${reference}: samples have no Fréchet distance to it; give more images`);
}

function accuracyOf({ labelAccuracy }: Metrics): Pick<GuidanceTrial, 'labelAccuracy'> {
  return labelAccuracy === undefined ? {} : { labelAccuracy };
}

function describe({ guidance: { scale, interval }, distance, labelAccuracy }: GuidanceTrial): string {
  const where = interval ? `at ${interval.join(' to ')}` : 'everywhere';
  const accuracy = labelAccuracy === undefined ? '' : `, label accuracy ${(100 * labelAccuracy).toFixed(1)}%`;
  return `guidance ${[scale].flat().join('/')} ${where}: distance ${distance.toFixed(3)}${accuracy}`;
}
