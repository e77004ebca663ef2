/** @file The names of the models that come with the package. */

/** What a model makes. */
export type ModelKind = 'image' | 'video';

/** The models that are used if none is named: by the commands, the library, the server and the app. */
export const DEFAULT_MODELS: Readonly<Record<ModelKind, string>> = {
  image: 'fashion-mnist',
  video: 'moving-fashion-mnist',
};

/** Names of the models' folders in `models`, and of their recipes. */
export const BUNDLED_MODELS: readonly string[] = ['fashion-mnist', 'moving-fashion-mnist'];

/** Names of the models whose images a bundled classifier knows: its folder is `models/NAME-classifier`. */
export const BUNDLED_CLASSIFIERS: readonly string[] = ['fashion-mnist', 'avatars'];
