/** @file Training in a folder: from the newest state there, to which it can go back. */

import { openModel, readWeights } from '../checkpoints/load.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ConfigError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { Lock } from '../io/lock.ts';
import { printable } from '../io/printable.ts';
import { movedClass } from '../models/acdit/class-names.ts';
import { type AcditConfig, describeOrigin, diffusionSettings, sameOrigin } from '../models/acdit/config.ts';
import { checkWeights, type Weights } from '../models/acdit/weights.ts';
import { completeSave, resumeTraining, resumeWith, saveTraining, type TrainingPoint } from './checkpoint.ts';
import type { BatchesStart } from './noising.ts';
import { initialState } from './optimizer.ts';
import { RankTeam } from './rank-team.ts';
import { beginRun, lockRunFolder, type RunStart } from './run-folder.ts';
import type { ChangeableKey } from './same-run.ts';
import { freshWeights, type LoopOptions, requireFit, runTraining } from './training-loop.ts';

export type { StepReport, TrainingHooks } from './training-loop.ts';

/** What is trained and on what, and how a run in the recipe's folder begins. */
export interface TrainingOptions extends Omit<LoopOptions, 'point' | 'save'>, RunStart {
  /**
   * Finds the path of the model that `initFrom` names. By default, `initFrom` is a path; with `fetchModel` of
   * `acdit/hub`, names on the hub are accepted too, as on the command line.
   */
  readonly locateModel?: (name: string) => Promise<string>;
  /** Keys of the recipe that may differ from those of the run that is resumed. */
  readonly allowChanges?: readonly ChangeableKey[];
  /**
   * The processes that train together. All call `train` with the same recipe and data; the first one alone calls hooks, and
   * uses the folder.
   */
  readonly ranks?: Ranks;
}

/**
 * Trains from the newest state in the recipe's folder, if there is one, to the recipe's last step. When `signal` aborts,
 * the current step is abandoned, the state after the last complete step is saved, and this returns.
 * @throws {TrainingError} if the loss or the gradient is no longer a number; the last checkpoint stays.
 * @throws {ArgumentError} if another process trains in the folder, or it holds another model or run.
 * @throws {ConfigError} if the model does not fit the dataset, or the model that `initFrom` names has other classes or was
 * trained on latents of a different autoencoder.
 * @throws {CheckpointError} if the state is of a different recipe or has different classes, naming what differs.
 */
export async function train(options: TrainingOptions): Promise<TrainingPoint> {
  const { recipe, config, dataset, signal, ranks, hooks = {} } = options;
  requireFit(config, dataset);
  if (ranks) return trainRanks(options, ranks);
  const onWait = (owner: string): void => hooks.onWait?.(owner);
  const lock = await lockRunFolder(recipe.output.folder, options, signal, onWait);
  return closingAfter(lock, () => trainLocked(lock, options));
}

async function trainLocked(lock: Lock, options: TrainingOptions): Promise<TrainingPoint> {
  const { recipe, config, signal, hooks } = options;
  const { folder } = recipe.output;
  const warn = (message: string): void => hooks?.onWarning?.(message);
  const resumed = options.fresh
    ? undefined
    : await resumeTraining(folder, config, recipe, options.allowChanges, warn);
  const point = resumed ?? (await startingPoint(options));
  if (signal?.aborted) return point; // the folder stays as it is
  await beginRun(folder, options);
  if (resumed) await completeSave(folder, config, resumed);
  return runTraining({
    ...options,
    point,
    async save(reached) {
      await lock.requireHeld();
      await saveTraining(folder, config, recipe, reached);
    },
  });
}

/** Trains on several ranks: {@link train} with the folder and the state in the hands of the first one. */
async function trainRanks(options: TrainingOptions, ranks: Ranks): Promise<TrainingPoint> {
  const { recipe, config, signal, hooks, fresh, allowChanges = [] } = options;
  const { folder } = recipe.output;
  const team = new RankTeam(config, ranks);
  let lock: Lock | undefined;
  let start: BatchesStart = { step: 0, position: 0 };
  const stored = (at: BatchesStart) => ({ step: at.step, position: at.position, state: team.stored });
  const onWarning = (message: string): void => hooks?.onWarning?.(message);
  try {
    await team.lead(async () => {
      lock = await lockRunFolder(folder, options, signal, (owner) => hooks?.onWait?.(owner));
      const load = (read: Parameters<typeof team.load>[0]) => team.load(read);
      const resumed = fresh
        ? undefined
        : await resumeWith(load, folder, config, recipe, allowChanges, onWarning);
      if (resumed) start = resumed;
      else await team.begin(await startingWeights(options));
      await beginRun(folder, options);
      if (resumed) await completeSave(folder, config, stored(resumed));
    });
    return await runTraining({
      ...options,
      team,
      share: { rank: ranks.communicator.rank, size: ranks.communicator.size },
      point: await team.share(start),
      async save(reached) {
        await lock?.requireHeld();
        await saveTraining(folder, config, recipe, stored(reached));
      },
    });
  } finally {
    await (lock as Lock | undefined)?.close();
  }
}

/** Makes the state before the first step: random weights, or those that the recipe begins with. */
export async function startingPoint(options: StartingOptions): Promise<TrainingPoint> {
  return { step: 0, position: 0, state: initialState(await startingWeights(options)) };
}

type StartingOptions = Pick<TrainingOptions, 'recipe' | 'config' | 'signal' | 'locateModel'>;

async function startingWeights(options: StartingOptions): Promise<Weights> {
  const { config, signal, locateModel = async (name) => name } = options;
  const { seed, initFrom } = options.recipe.training;
  return initFrom === undefined
    ? freshWeights(config, seed)
    : weightsOf(await locateModel(initFrom), config, signal);
}

/** Another model's weights. It may have other blocks: no weight depends on how an image is divided. */
async function weightsOf(path: string, config: AcditConfig, signal?: AbortSignal): Promise<Weights> {
  // For a checkpoint that does not state its layout; the blocks do not matter here.
  const layout = { patch: config.patch, blockSize: 1, blocks: 1 };
  const model = await openModel(path, { layout });
  const weights = await closingAfter(model.archive, () => readWeights(model, signal ? { signal } : {}));
  requireAlike(path, model.config, config);
  try {
    checkWeights(config, new Map([...weights].map(([name, { shape }]) => [name, shape])));
  } catch (cause) {
    throw new ConfigError(`training.initFrom ${path} does not fit the model: ${(cause as Error).message}`, {
      cause,
    });
  }
  return weights;
}

/**
 * Checks that training may begin with a model's weights. They mean the same only for tokens of the same kind and the same
 * prediction, though a model that does not know its autoencoder, such as an official checkpoint, may begin with any
 * latents. The classes may differ, but one that both have must keep its label.
 * @throws {ConfigError} naming what differs.
 */
function requireAlike(path: string, model: AcditConfig, wanted: AcditConfig): void {
  const fail = (problem: string, what = 'data'): never => {
    throw new ConfigError(`training.initFrom ${path} does not fit the ${what}: ${problem}`);
  };
  if (model.space !== wanted.space) {
    fail(`the model was trained on ${model.space}, the data is ${wanted.space}`);
  }
  if (model.autoencoder && wanted.autoencoder && !sameOrigin(model.autoencoder, wanted.autoencoder)) {
    fail(
      `the model was trained on latents of the autoencoder ${describeOrigin(model.autoencoder)}, the data was encoded with ` +
        `${describeOrigin(wanted.autoencoder)}; encode the data with the model's autoencoder`,
    );
  }
  const [own, other] = [diffusionSettings(model), diffusionSettings(wanted)];
  if (own.prediction !== other.prediction || own.noiseSchedule !== other.noiseSchedule) {
    fail(
      `it predicts ${own.prediction} along the noise schedule ${own.noiseSchedule}, the recipe's model ` +
        `${other.prediction} along ${other.noiseSchedule}`,
      'model',
    );
  }
  const { positions: kind = 'nd' } = model;
  const { positions: wantedKind = 'nd' } = wanted;
  if (kind !== wantedKind)
    fail(`its positions are ${kind}, those of the recipe's model ${wantedKind}`, 'model');
  if (model.classes !== wanted.classes) {
    fail(`the model has ${model.classes} classes, the data ${wanted.classes}`);
  }
  const moved = movedClass(model.classNames ?? [], wanted.classNames ?? []);
  if (!moved) return;
  const [before, now] = moved.labels;
  fail(
    `class '${printable(moved.name)}' is number ${before} in the model and ${now} in the data; name the class folders so that ` +
      'their order is that of the model',
  );
}
