/** @file Finds models and autoencoders: by their paths, by their names on the Hugging Face Hub, or in the package. */

import { existsSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { bundledFolder } from '../checkpoints/bundled.ts';
import { BUNDLED_MODELS, DEFAULT_MODELS, type ModelKind } from '../checkpoints/bundled-names.ts';
import { openModel, type StoredModel } from '../checkpoints/load.ts';
import type { OpenOptions } from '../checkpoints/official.ts';
import { ArgumentError, CheckpointError, HubError } from '../errors.ts';
import type { HubEvent, HubOptions } from '../hub/events.ts';
import { fetchAutoencoder, fetchModel, MODEL_FILE } from '../hub/fetch-model.ts';
import { isAddress, parseHubName, RELEASED_AUTOENCODER } from '../hub/names.ts';
import { hubSettings } from '../hub/settings.ts';
import { invalidOption } from '../invalid-option.ts';
import { closingOnError } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';
import { formatBytes, formatDuration } from '../io/quantities.ts';
import { PAPER_DOWNSAMPLING } from '../models/acdit/config.ts';
import { didYouMean } from '../nearest.ts';
import { type Progress, type RunContext, silentReporter } from './reporter.ts';

const AUTOENCODER_NEEDED =
  'this model makes latents, and decoding them needs an autoencoder: give its folder or its name on the Hugging Face Hub ' +
  `with --vae DIR (config.json and diffusion_pytorch_model.safetensors or .bin, as in ${RELEASED_AUTOENCODER})`;

/** Channels of the latents that the released models make. */
const RELEASED_CHANNELS = 4;

/**
 * Returns the path of a model: of one that exists, of a bundled one by its name, or of one on the hub, which is fetched.
 * @throws {HubError} if it is neither a path nor a name there.
 */
export async function modelPath(name: string, context: RunContext = {}): Promise<string> {
  // If it can only be a path, opening it reports what is wrong with it.
  const isPath = existsSync(name) || (looksLikePath(name) && !parseHubName(name));
  if (isPath) return name;
  if (BUNDLED_MODELS.includes(name)) return bundledNamed(name);
  try {
    return await fetched(name, fetchModel, context);
  } catch (cause) {
    if (!(cause instanceof HubError) || looksLikePath(name) || parseHubName(name)) throw cause;
    throw new HubError(
      `${cause.message}; the bundled models are ${new Intl.ListFormat('en').format(BUNDLED_MODELS)}${didYouMean(name, BUNDLED_MODELS)}`,
      { cause },
    );
  }
}

/** How a model is opened, and where its download is reported. */
export interface NamedModelOptions extends OpenOptions, RunContext {}

/**
 * Opens a model by its path or its name on the hub, without reading its weights.
 * @throws {ArgumentError} if the layout contradicts what the model states; what {@link modelPath} and `openModel` throw.
 */
export async function openNamedModel(name: string, options: NamedModelOptions = {}): Promise<StoredModel> {
  const { weights, layout = {} } = options;
  const model = await openModel(await modelPath(name, options), { weights, layout });
  return closingOnError(model.archive, async () => {
    for (const part of ['patch', 'blockSize', 'blocks', 'frames'] as const) {
      const [given, stated] = [layout[part], model.config[part]];
      if (given === undefined || given === stated) continue;
      throw invalidOption(
        `layout.${part}`,
        `${given} contradicts the model, which states ${stated}; leave it out`,
      );
    }
    return model;
  });
}

/** Returns the folder of an autoencoder; it is fetched if it is a name on the hub. */
export async function autoencoderPath(name: string, context: RunContext = {}): Promise<string> {
  const isOnHub = !existsSync(name) && (isAddress(name) || (looksLikePath(name) && parseHubName(name)));
  return isOnHub ? fetched(name, fetchAutoencoder, context) : name;
}

/**
 * Returns the folder of the autoencoder that decodes a model's latents. If none is named, it is that of the model's
 * training; models that may have been trained like the released ones get the autoencoder of these.
 * @param otherwise what else can be done without an autoencoder, for the message.
 * @throws {ArgumentError} if there is none.
 */
export async function decoderPath(
  { config, runAutoencoder }: Pick<StoredModel, 'config' | 'runAutoencoder'>,
  named: string | undefined,
  context: RunContext = {},
  otherwise = '',
): Promise<string> {
  if (named !== undefined) return autoencoderPath(named, context);
  const needed = AUTOENCODER_NEEDED + otherwise;
  const used = await runAutoencoder?.();
  if (used !== undefined) {
    if (existsSync(used)) return used;
    throw new ArgumentError(`${needed}; ${printable(used)}, which its training used, is missing`);
  }
  const { autoencoder, channels, downsampling = PAPER_DOWNSAMPLING } = config;
  const likeReleased = channels === RELEASED_CHANNELS && downsampling === PAPER_DOWNSAMPLING;
  if (autoencoder !== undefined || !likeReleased) throw new ArgumentError(needed);
  try {
    return await autoencoderPath(RELEASED_AUTOENCODER, context);
  } catch (cause) {
    if (!(cause instanceof HubError)) throw cause;
    throw new ArgumentError(
      `${needed}; the autoencoder of the released models could not be fetched: ${cause.message}`,
      { cause },
    );
  }
}

/**
 * Names a model of the hub after its file, its folder or its repository, since its path in the cache is that of a commit.
 * @returns undefined if it is a path on this machine.
 */
export async function hubModelName(name: string): Promise<string | undefined> {
  if (existsSync(name)) return undefined;
  const location = parseHubName(name, (await hubSettings()).endpoint);
  return location && basename(location.path || location.repo).replace(MODEL_FILE, '');
}

function looksLikePath(name: string): boolean {
  return /[/\\]/.test(name) && !isAddress(name);
}

async function fetched(
  name: string,
  fetchNamed: (name: string, options: HubOptions) => Promise<string>,
  context: RunContext,
): Promise<string> {
  const { onEvent, close } = hubProgress(context);
  try {
    return await fetchNamed(name, { signal: context.signal, onEvent });
  } catch (cause) {
    if (!(cause instanceof HubError) || !looksLikePath(name)) throw cause;
    throw new HubError(
      `${name}: no such path on this machine; as a name on the Hugging Face Hub: ${cause.message}`,
      { cause },
    );
  } finally {
    close();
  }
}

/** Smaller files arrive before a progress bar could be read. */
const SHORT = 1e6;

/** Reports the progress of each large file of a download, and anything out of the ordinary. */
function hubProgress({ report = silentReporter, signal }: RunContext) {
  let progress: Progress | undefined;
  let state: { readonly done: number; readonly size: number } | undefined;
  const finish = (): void => {
    progress?.finish();
    progress = undefined;
  };
  return {
    onEvent(event: HubEvent): void {
      switch (event.kind) {
        case 'start':
          state = event;
          if (event.done > 0) report.say(`${event.file}: ${formatBytes(event.done)} are there already`);
          if (event.size - event.done >= SHORT) {
            progress = report.progress({
              total: inUnits(event.size, event.size),
              start: inUnits(event.done, event.size),
              label: `download ${event.file.split('/').at(-1)}`,
              unit: unitOf(event.size),
            });
          }
          break;
        case 'progress':
          state = event;
          progress?.update(inUnits(event.done, event.size));
          break;
        case 'verify':
          progress?.update(inUnits(event.size, event.size), {
            checked: `${Math.floor((100 * event.done) / Math.max(event.size, 1))}%`,
          });
          break;
        case 'retry':
          report.say(`${event.file}: ${event.reason}; trying again in ${formatDuration(event.delay / 1000)}`);
          break;
        case 'waiting':
          report.say(`${event.file}: waiting for another process that downloads it`);
          break;
        case 'damaged':
          report.warn(`${event.path} differs from ${event.file} on the hub; it is not used`);
          break;
        case 'unreachable':
          report.warn(`${event.reason}; ${event.file} is taken from the cache`);
          break;
        case 'done':
        case 'cached':
          finish();
          state = undefined;
      }
    },
    /** Ends the progress, and reports what is kept if the download was interrupted. */
    close(): void {
      finish();
      if (signal?.aborted && state) {
        report.say(
          `${formatBytes(state.done)} of ${formatBytes(state.size)} are kept; the same command resumes from there`,
        );
      }
    },
  };
}

function unitOf(size: number): 'MB' | 'kB' {
  return size >= 1e7 ? 'MB' : 'kB';
}

function inUnits(bytes: number, size: number): number {
  return Math.floor(bytes / (unitOf(size) === 'MB' ? 1e6 : 1e3));
}

/** Returns the path of the classifier of the images of a bundled model (default: the default image model). */
export function bundledClassifier(name: string = DEFAULT_MODELS.image): string {
  return bundledFolder(`${name}-classifier`);
}

/** Returns a default model's path, from the working directory if that is shorter. @throws {CheckpointError} if it is missing. */
export function bundledModel(kind: ModelKind): string {
  return bundledNamed(DEFAULT_MODELS[kind]);
}

/** Returns a bundled model's path, from the working directory if that is shorter. @throws {CheckpointError} if it is missing. */
function bundledNamed(name: string): string {
  const path = bundledFolder(name);
  if (!existsSync(path)) {
    throw new CheckpointError(
      `the bundled model ${path} is missing; name a model, or train it with acdit train recipes/${name}.json`,
    );
  }
  const fromHere = relative(process.cwd(), path);
  return fromHere.length < path.length && !fromHere.startsWith('..') ? fromHere : path;
}
