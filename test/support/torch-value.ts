/** @file Values of PyTorch checkpoints. */

import type { TorchValue } from '../../src/formats/torch/checkpoint.ts';

/** Follow keys through dicts, lists and a Namespace. */
export function at(value: TorchValue | undefined, ...path: (string | number)[]): TorchValue | undefined {
  return path.reduce<TorchValue | undefined>((inner, key) => {
    if (inner instanceof Map) return inner.get(key);
    if (Array.isArray(inner)) return (inner as readonly TorchValue[])[key as number];
    if (typeof inner === 'object' && inner !== null && 'attributes' in inner)
      return inner.attributes.get(String(key));
    return undefined;
  }, value);
}
