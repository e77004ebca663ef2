/** @file The models that the app is built with: every folder of `models` that holds one. */

import { get } from '../../../src/at.ts';
import { DEFAULT_MODELS } from '../../../src/checkpoints/bundled-names.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { ModelCard } from './engine.ts';

// The classifiers there serve evaluation.
const configs = import.meta.glob<AcditConfig>(
  ['../../../models/*/config.json', '!../../../models/*-classifier/**'],
  {
    eager: true,
    import: 'default',
  },
);
const weights = import.meta.glob<string>(
  ['../../../models/*/model.safetensors', '!../../../models/*-classifier/**'],
  {
    eager: true,
    query: '?url',
    import: 'default',
  },
);
const classStrips = import.meta.glob<string>('../../../models/*/classes.{png,webp}', {
  eager: true,
  query: '?url',
  import: 'default',
});

const solvers = import.meta.glob<string>('../../../models/*/solver.json', {
  eager: true,
  query: '?url',
  import: 'default',
});
const fastSteps = import.meta.glob<number>('../../../models/*/solver.json', {
  eager: true,
  import: 'defaultSteps',
});

/** A bundled model, and the addresses of its weights and its tuned solver. */
export interface BundledModel {
  readonly card: ModelCard;
  readonly weights: string;
  readonly solver: string | undefined;
}

/** Lists them, the default image model first. */
export function bundledModels(): BundledModel[] {
  const models = Object.entries(configs)
    .filter(([path, config]) => config.modelType === 'acdit' && weightsOf(path))
    .map(([path, config]) => {
      const id = path.split('/').at(-2) ?? path;
      const fileNextTo = (name: string): string => path.replace('config.json', name);
      const classImages = classStrips[fileNextTo('classes.png')] ?? classStrips[fileNextTo('classes.webp')];
      const solver = solvers[fileNextTo('solver.json')];
      const steps = fastSteps[fileNextTo('solver.json')];
      const card: ModelCard = {
        id,
        title: titleOf(id),
        source: 'bundled',
        config,
        ...(classImages && { classImages }),
        ...(steps !== undefined && { fastSteps: steps }),
      };
      return { card, weights: absolute(weightsOf(path)), solver: solver && absolute(solver) };
    });
  const isDefault = ({ card }: BundledModel): boolean => card.id === DEFAULT_MODELS.image;
  return [...models.filter(isDefault), ...models.filter((model) => !isDefault(model))];
}

function absolute(address: string): string {
  return new URL(address, location.href).href;
}

function weightsOf(path: string): string {
  return get(weights, path.replace('config.json', 'model.safetensors'));
}

/** `fashion-mnist` as "Fashion-MNIST". */
function titleOf(id: string): string {
  return id
    .split('-')
    .map((word) => (word === 'mnist' ? 'MNIST' : word.charAt(0).toUpperCase() + word.slice(1)))
    .join(' ')
    .replace(' MNIST', '-MNIST');
}
