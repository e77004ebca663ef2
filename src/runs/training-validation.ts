/** @file Validation of a model while it is trained: opens the held-out data, and names what the scores depend on. */

import type { Dataset } from '../data/dataset.ts';
import { openDataset } from '../data/open.ts';
import { ConfigError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
import { counted } from '../io/quantities.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import type { Recipe } from '../training/recipe.ts';
import { requireBest } from '../training/recipe-sections.ts';
import { openValidation, type Validation, validationScores } from '../training/validation.ts';
import { dataFacts } from './data-facts.ts';
import type { ActiveContext } from './reporter.ts';

/** A validation with its data. */
export interface TrainingValidation extends Validation {
  /** What the scores depend on besides the weights. */
  readonly settings: Readonly<Record<string, string | number>>;
}

/**
 * Opens the held-out data of a recipe.
 * @throws {AcditError} if it is missing, or does not fit the model.
 */
export async function openTrainingValidation(
  options: ActiveContext & { readonly recipe: Recipe; readonly config: AcditConfig; readonly device: Device },
  settings: NonNullable<Recipe['validation']>,
): Promise<TrainingValidation> {
  const { recipe, config, device, report } = options;
  const { training } = recipe;
  requireBest(recipe.output.best, 'validation', validationScores(config, settings.timestepBins));
  const held = heldOutData(recipe.data, settings);
  if (config.space === 'latents' && held.split === 'test') {
    throw new ConfigError(
      'recipe: latents have no splits, so validation needs the folder of held-out latents, as validation.path, or a share ' +
        'of the training data, as data.holdOut',
    );
  }
  const reading = { ...recipe.data, ...held, flip: false, crop: 0 };
  const dataset = await openDataset({ ...reading, warn: report.warn }).catch((cause: Error) => {
    throw new ConfigError(
      `recipe: validation finds no held-out data: ${cause.message}; give its folder as validation.path, or hold out a ` +
        'share of the training data with data.holdOut',
      { cause },
    );
  });
  return closingOnError({ close: async () => dataset.close?.() }, async () => {
    const note = fewSamplesNote(Math.min(settings.samples, dataset.size), config, training, settings);
    if (note !== undefined) report.warn(note);
    const validation = await openValidation({ device, config, dataset, training, settings });
    return { ...validation, settings: await dependencies(recipe, dataset, settings), dispose };

    async function dispose(): Promise<void> {
      await validation.dispose();
      await dataset.close?.();
    }
  });
}

/** Returns which data is validated on: other data, another split, or the held-out part of the training data. */
function heldOutData(data: Recipe['data'], { path, split }: NonNullable<Recipe['validation']>) {
  if (path !== undefined) return { path, split: split ?? 'train', holdOut: undefined } as const;
  if (split === undefined && data.holdOut !== undefined) return { part: 'heldOut' } as const;
  const chosen = split ?? 'test';
  // In the training split itself, validation reads what is trained on.
  return chosen === data.split ? { split: chosen } : { split: chosen, holdOut: undefined };
}

/** Returns a note if there are fewer samples than ranges of timesteps, each of which every block should visit. */
function fewSamplesNote(
  samples: number,
  { blocks }: AcditConfig,
  { timestepPer }: Recipe['training'],
  { timestepBins }: NonNullable<Recipe['validation']>,
): string | undefined {
  if (samples >= timestepBins) return undefined;
  // Sample n begins with range n, and each block has the next one.
  const visited = Math.min(timestepBins, timestepPer === 'sample' ? samples : samples + blocks - 1);
  const empty = timestepBins - visited;
  return (
    `validation has only ${counted(samples, 'sample')} for ${timestepBins} ranges of timesteps, so ` +
    `${empty > 0 ? `${empty} of these ${empty === 1 ? 'has' : 'have'} no loss` : 'no block visits all of these'}; give more samples, or fewer validation.timestepBins`
  );
}

async function dependencies(
  { training }: Recipe,
  dataset: Dataset,
  { samples, timestepBins, seed }: NonNullable<Recipe['validation']>,
) {
  const { lossWeighting, timesteps, timestepPer = 'block' } = training;
  return {
    data: (await dataFacts(dataset)).fingerprint,
    ...{ samples, timestepBins, seed, lossWeighting, timestepPer },
    timesteps: JSON.stringify(timesteps),
  };
}
