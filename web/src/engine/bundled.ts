/** @file The models that the app is built with: every folder of `models` that holds one. */

import { get } from '../../../src/at.ts';
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
const classStrips = import.meta.glob<string>('../../../models/*/classes.png', {
  eager: true,
  query: '?url',
  import: 'default',
});

/** A bundled model, and the address of its weights. */
export interface BundledModel {
  readonly card: ModelCard;
  readonly weights: string;
}

export function bundledModels(): BundledModel[] {
  return Object.entries(configs)
    .filter(([path, config]) => config.modelType === 'acdit' && weightsOf(path))
    .map(([path, config]) => {
      const id = path.split('/').at(-2) ?? path;
      const classImages = classStrips[path.replace('config.json', 'classes.png')];
      const card: ModelCard = {
        id,
        title: titleOf(id),
        source: 'bundled',
        config,
        ...(classImages && { classImages }),
      };
      return { card, weights: new URL(weightsOf(path), location.href).href };
    });
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
