/** @file I3D with formula weights, under the names of the file of VideoGPT and TATS. */

import type { TensorArchive } from '../../src/formats/tensor-archive.ts';
import { I3D_CONVOLUTIONS } from '../../src/models/i3d/i3d.ts';
import {
  type ConvolutionLayer,
  type ConvolutionParameters,
  foldBatchNorm,
  weightShape,
} from '../../src/models/network-layers.ts';
import { formulaTensor } from './formula-weights.ts';

/** A convolution with its batch norm folded in. */
export function i3dFormula(layer: ConvolutionLayer, epsilon: number): ConvolutionParameters {
  const { name, outputs, last } = layer;
  const weight = formulaTensor(`${name}.conv3d.weight`, weightShape(layer));
  if (last) return { weight, bias: formulaTensor(`${name}.conv3d.bias`, [outputs]) };
  const norm = (part: string) => formulaTensor(`${name}.bn.${part}`, [outputs]).data;
  return foldBatchNorm(weight, {
    mean: norm('running_mean'),
    variance: norm('running_var'),
    shift: norm('bias'),
    scale: norm('weight'),
    epsilon,
  });
}

/** Names and shapes of a state dict, in order. */
export function i3dStateDict(): Map<string, readonly number[]> {
  return new Map(
    I3D_CONVOLUTIONS.flatMap((layer): [string, readonly number[]][] => [
      [`${layer.name}.conv3d.weight`, weightShape(layer)],
      ...(layer.last
        ? [[`${layer.name}.conv3d.bias`, [layer.outputs]] as [string, number[]]]
        : ['weight', 'bias', 'running_mean', 'running_var'].map((part): [string, number[]] => [
            `${layer.name}.bn.${part}`,
            [layer.outputs],
          ])),
    ]),
  );
}

/** An archive of tensors that are computed when read. @param formulaName what the formula calls a tensor of the archive. */
export function formulaArchive(
  shapes: ReadonlyMap<string, readonly number[]>,
  formulaName: (name: string) => string = (name) => name,
): TensorArchive {
  return {
    metadata: {},
    names: [...shapes.keys()],
    has: (name) => shapes.has(name),
    info: (name) => ({ dtype: 'float32', shape: shapes.get(name)! }),
    read: async (name) => formulaTensor(formulaName(name), shapes.get(name)!),
    close: async () => {},
  };
}
