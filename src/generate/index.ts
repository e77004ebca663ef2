/** @file Samples in three lines: open a model, generate, save. */

export {
  Acdit,
  type ClassChoice,
  type ContinueSource,
  type GeneratedSamples,
  type GenerateEvent,
  type GenerateOptions,
  type Prompt,
  type StreamOptions,
} from './generate.ts';
export { type OpenAcditOptions, open } from './open.ts';
export { type FileFormat, type FileOptions, GeneratedSample } from './sample.ts';
