/**
 * @file The weights of the FID's Inception network on disk: the frozen TensorFlow graph of 2015-12-05, and the PyTorch
 * state dict that was made from it, also as safetensors.
 */

import { float32At, take } from '../at.ts';
import { CheckpointError } from '../errors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { openTensorflowGraph } from '../formats/tensorflow-graph.ts';
import { closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { problemList } from '../io/printable.ts';
import type { InceptionWeights } from '../models/inception/inception.ts';
import { INCEPTION_CLASSES, INCEPTION_FEATURES, INCEPTION_LAYERS } from '../models/inception/layers.ts';
import {
  type ConvolutionLayer,
  convolutionsOf,
  foldBatchNorm,
  type NetworkLayer,
  weightShape,
} from '../models/network-layers.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { openTensors } from './tensor-source.ts';

/** What its batch norms add to their variances. */
const EPSILON = 1e-3;

/** The network, whose weights are read while their file is open. */
export interface StoredInception extends InceptionWeights {
  /** Close the file. */
  close(): Promise<void>;
}

/** The files in which the weights are commonly distributed. */
export const INCEPTION_FILES = {
  torch: {
    name: 'pt_inception-2015-12-05-6726825d.pth',
    /** Beginning of its SHA-256, which its name contains. */
    hash: '6726825d',
    address:
      'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth',
  },
  tensorflow: {
    name: 'classify_image_graph_def.pb',
    address:
      'https://openaipublic.blob.core.windows.net/diffusion/jul-2021/ref_batches/classify_image_graph_def.pb',
  },
} as const;

/**
 * Open a file of weights, without reading them where its format allows that.
 * @param path a frozen TensorFlow graph ending in `.pb`, a `.safetensors` file, or else a PyTorch checkpoint.
 * @throws {FormatError} if it is damaged; {CheckpointError} if it holds another network.
 */
export async function openInception(path: string): Promise<StoredInception> {
  const { archive, layout } = await openArchive(path);
  await closingOnError(archive, async () => checkNetwork(archive, layout, path));
  const read = async (name: string): Promise<Tensor<'float32'>> => toFloat32(await archive.read(name));
  return {
    async convolution(layer) {
      const { weight, mean, variance, scale, shift } = layout.names(layer);
      const vector = async (name: string) => (await read(name)).data;
      return foldBatchNorm(layout.weight(await read(weight)), {
        mean: await vector(mean),
        variance: await vector(variance),
        scale: await vector(scale),
        shift: await vector(shift),
        epsilon: EPSILON,
      });
    },
    classifier: async () => layout.weight(await read(layout.classifierName)),
    close: () => archive.close(),
  };
}

/** How a file names its tensors, and the order of their axes. */
interface Layout {
  names(layer: ConvolutionLayer): Record<'weight' | 'mean' | 'variance' | 'scale' | 'shift', string>;
  readonly classifierName: string;
  /** Stored shapes of a kernel (K, C, h, w) and of the classifier (1008, 2048). */
  shape(shape: readonly number[]): readonly number[];
  /** A stored kernel as (K, C, h, w), or the stored classifier as (1008, 2048). */
  weight(stored: Tensor<'float32'>): Tensor<'float32'>;
}

const torchLayout: Layout = {
  names: ({ name }) => ({
    weight: `${name}.conv.weight`,
    mean: `${name}.bn.running_mean`,
    variance: `${name}.bn.running_var`,
    scale: `${name}.bn.weight`,
    shift: `${name}.bn.bias`,
  }),
  classifierName: 'fc.weight',
  shape: (shape) => shape,
  weight: (stored) => stored,
};

const tensorflowLayout: Layout = {
  names({ name }) {
    const scope = tensorflowScopes.get(name)!;
    return {
      weight: `${scope}/conv2d_params`,
      mean: `${scope}/batchnorm/moving_mean`,
      variance: `${scope}/batchnorm/moving_variance`,
      scale: `${scope}/batchnorm/gamma`,
      shift: `${scope}/batchnorm/beta`,
    };
  },
  classifierName: 'softmax/weights',
  shape: (shape) => {
    const [outputs, inputs, ...kernel] = take(shape, 2);
    return [...kernel, inputs, outputs];
  },
  weight: channelsFirst,
};

/** (..., C, K) to (K, C, ...). */
function channelsFirst({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [inputs, outputs] = take(shape.slice(-2), 2);
  const kernel = shape.slice(0, -2);
  const places = data.length / (inputs * outputs);
  const out = zeros('float32', [outputs, inputs, ...kernel]);
  let from = 0;
  for (let place = 0; place < places; place++) {
    for (let c = 0; c < inputs; c++) {
      for (let k = 0; k < outputs; k++) out.data[(k * inputs + c) * places + place] = float32At(data, from++);
    }
  }
  return out;
}

/** `conv`, `conv_1`, `conv_2`, ... */
function numbered(name: string, index: number): string {
  return index === 0 ? name : `${name}_${index}`;
}

type Scopes = (readonly [name: string, scope: string])[];

/** The graph's scopes, by the names of the convolutions. */
function scopesOf(layers: readonly NetworkLayer[], scope: string): Scopes {
  let [convolutions, blocks] = [0, 0];
  return layers.flatMap((layer): Scopes => {
    if (layer.kind === 'convolution') return [[layer.name, scope + numbered('conv', convolutions++)]];
    if (layer.kind !== 'branches') return [];
    return branchScopes(layer.branches, `${scope}${numbered('mixed', blocks++)}/`);
  });
}

/** A branch that is a convolution alone stands in the block's scope; the others are towers in it. */
function branchScopes(branches: readonly (readonly NetworkLayer[])[], scope: string): Scopes {
  let [alone, towers] = [0, 0];
  return branches.flatMap((branch): Scopes => {
    const [first] = branch;
    if (branch.length > 1) return scopesOf(branch, `${scope}${numbered('tower', towers++)}/`);
    return first?.kind === 'convolution' ? [[first.name, scope + numbered('conv', alone++)]] : [];
  });
}

const tensorflowScopes: ReadonlyMap<string, string> = new Map(scopesOf(INCEPTION_LAYERS, ''));

async function openArchive(path: string): Promise<{ archive: TensorArchive; layout: Layout }> {
  const file = await openFile(path);
  if (!path.endsWith('.pb')) return { archive: await openTensors(file), layout: torchLayout };
  return { archive: await openTensorflowGraph(file), layout: tensorflowLayout };
}

/** Names and shapes of all that is read, as they should be in the file. */
function expectedShapes(layout: Layout): Map<string, readonly number[]> {
  const classifier = layout.shape([INCEPTION_CLASSES, INCEPTION_FEATURES]);
  const ofLayers = convolutionsOf(INCEPTION_LAYERS).flatMap((layer): [string, readonly number[]][] => {
    const { weight, ...vectors } = layout.names(layer);
    return [
      [weight, layout.shape(weightShape(layer))],
      ...Object.values(vectors).map((name): [string, number[]] => [name, [layer.outputs]]),
    ];
  });
  return new Map([[layout.classifierName, classifier], ...ofLayers]);
}

function checkNetwork(archive: TensorArchive, layout: Layout, path: string): void {
  const problems = [...expectedShapes(layout)].flatMap(([name, shape]) => {
    if (!archive.has(name)) return [`${name} is missing`];
    const stored = archive.info(name).shape;
    return String(stored) === String(shape) ? [] : [`${name} has shape [${stored}] instead of [${shape}]`];
  });
  if (problems.length === 0) return;
  throw new CheckpointError(
    `${path}: is not the Inception network of 2015-12-05: ${problemList(problems, 3)}`,
  );
}
