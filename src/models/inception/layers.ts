/**
 * @file The layers of the Inception v3 network of 2015-12-05, of which the FID is made (Szegedy et al. 2015; Heusel et
 * al. 2017), as data. It differs from the Inception v3 of today's libraries: the mean of a pooling window is that of the
 * pixels in it, without padding; the last block has max pooling; and there are 1008 outputs.
 */

import { at } from '../../at.ts';

/** Inputs are resized to this height and width. */
export const INCEPTION_SIZE = 299;
/** Dimensions of the pooled features. */
export const INCEPTION_FEATURES = 2048;
/** Outputs of the classifier, some of which stand for no class. */
export const INCEPTION_CLASSES = 1008;
/** Channels, rows and columns of the spatial features. */
export const INCEPTION_SPATIAL = [7, 17, 17] as const;
/** The convolution whose first channels are the spatial features. */
export const SPATIAL_LAYER = 'Mixed_6d.branch1x1';

/** Something of both axes. */
export type Pair = readonly [rows: number, columns: number];

/** A convolution without bias, a batch norm and a ReLU. */
export interface InceptionConvolution {
  readonly kind: 'convolution';
  /** As in torchvision. */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: Pair;
  readonly stride: number;
  /** Zeros on each side. */
  readonly padding: Pair;
}

/** A window of 3 x 3; with stride 1, padded so that the size stays. */
export interface InceptionPool {
  readonly kind: 'averagePool' | 'maxPool';
  readonly stride: 1 | 2;
}

/** Ways that begin together and whose results are joined as channels. */
export interface InceptionBranches {
  readonly kind: 'branches';
  readonly branches: readonly (readonly InceptionLayer[])[];
}

/** A layer of the network, or several side by side. */
export type InceptionLayer = InceptionConvolution | InceptionPool | InceptionBranches;

/** What is left to say of a convolution when its block and what comes before it are known. */
type Step = readonly [name: string, outputs: number, kernel: Pair, options?: { stride?: 2; valid?: true }];

const one: Pair = [1, 1];
const three: Pair = [3, 3];
const row: Pair = [1, 7];
const column: Pair = [7, 1];
const averagePool: InceptionPool = { kind: 'averagePool', stride: 1 };
const halve: InceptionPool = { kind: 'maxPool', stride: 2 };

/** Convolutions one after the other; those with a stride of 2 have no padding, like those that are `valid`. */
function chain(block: string, inputs: number, ...steps: Step[]): InceptionConvolution[] {
  return steps.map(([name, outputs, kernel, { stride = 1, valid } = {}], i) => ({
    kind: 'convolution',
    name: block + name,
    inputs: i === 0 ? inputs : at(steps, i - 1)[1],
    outputs,
    kernel,
    stride,
    padding: valid || stride === 2 ? [0, 0] : [(kernel[0] - 1) / 2, (kernel[1] - 1) / 2],
  }));
}

function branches(...list: (readonly InceptionLayer[])[]): InceptionBranches {
  return { kind: 'branches', branches: list };
}

/** 35 x 35. */
function blockA(block: string, inputs: number, poolOutputs: number): InceptionBranches {
  return branches(
    chain(block, inputs, ['branch1x1', 64, one]),
    chain(block, inputs, ['branch5x5_1', 48, one], ['branch5x5_2', 64, [5, 5]]),
    chain(
      block,
      inputs,
      ['branch3x3dbl_1', 64, one],
      ['branch3x3dbl_2', 96, three],
      ['branch3x3dbl_3', 96, three],
    ),
    [averagePool, ...chain(block, inputs, ['branch_pool', poolOutputs, one])],
  );
}

/** 35 x 35 to 17 x 17. */
function blockB(block: string, inputs: number): InceptionBranches {
  return branches(
    chain(block, inputs, ['branch3x3', 384, three, { stride: 2 }]),
    chain(
      block,
      inputs,
      ['branch3x3dbl_1', 64, one],
      ['branch3x3dbl_2', 96, three],
      ['branch3x3dbl_3', 96, three, { stride: 2 }],
    ),
    [halve],
  );
}

/** 17 x 17, with kernels of a row or a column. @param inner channels between them */
function blockC(block: string, inputs: number, inner: number): InceptionBranches {
  return branches(
    chain(block, inputs, ['branch1x1', 192, one]),
    chain(
      block,
      inputs,
      ['branch7x7_1', inner, one],
      ['branch7x7_2', inner, row],
      ['branch7x7_3', 192, column],
    ),
    chain(
      block,
      inputs,
      ['branch7x7dbl_1', inner, one],
      ['branch7x7dbl_2', inner, column],
      ['branch7x7dbl_3', inner, row],
      ['branch7x7dbl_4', inner, column],
      ['branch7x7dbl_5', 192, row],
    ),
    [averagePool, ...chain(block, inputs, ['branch_pool', 192, one])],
  );
}

/** 17 x 17 to 8 x 8. */
function blockD(block: string, inputs: number): InceptionBranches {
  return branches(
    chain(block, inputs, ['branch3x3_1', 192, one], ['branch3x3_2', 320, three, { stride: 2 }]),
    chain(
      block,
      inputs,
      ['branch7x7x3_1', 192, one],
      ['branch7x7x3_2', 192, row],
      ['branch7x7x3_3', 192, column],
      ['branch7x7x3_4', 192, three, { stride: 2 }],
    ),
    [halve],
  );
}

/** 8 x 8, where two branches fork once more. */
function blockE(block: string, inputs: number, pool: InceptionPool): InceptionBranches {
  const fork = (name: string): InceptionBranches =>
    branches(chain(block, 384, [`${name}a`, 384, [1, 3]]), chain(block, 384, [`${name}b`, 384, [3, 1]]));
  return branches(
    chain(block, inputs, ['branch1x1', 320, one]),
    [...chain(block, inputs, ['branch3x3_1', 384, one]), fork('branch3x3_2')],
    [
      ...chain(block, inputs, ['branch3x3dbl_1', 448, one], ['branch3x3dbl_2', 384, three]),
      fork('branch3x3dbl_3'),
    ],
    [pool, ...chain(block, inputs, ['branch_pool', 192, one])],
  );
}

/** From a picture (3, 299, 299) to (2048, 8, 8). */
export const INCEPTION_LAYERS: readonly InceptionLayer[] = [
  ...chain(
    '',
    3,
    ['Conv2d_1a_3x3', 32, three, { stride: 2 }],
    ['Conv2d_2a_3x3', 32, three, { valid: true }],
    ['Conv2d_2b_3x3', 64, three],
  ),
  halve,
  ...chain('', 64, ['Conv2d_3b_1x1', 80, one], ['Conv2d_4a_3x3', 192, three, { valid: true }]),
  halve,
  blockA('Mixed_5b.', 192, 32),
  blockA('Mixed_5c.', 256, 64),
  blockA('Mixed_5d.', 288, 64),
  blockB('Mixed_6a.', 288),
  blockC('Mixed_6b.', 768, 128),
  blockC('Mixed_6c.', 768, 160),
  blockC('Mixed_6d.', 768, 160),
  blockC('Mixed_6e.', 768, 192),
  blockD('Mixed_7a.', 768),
  blockE('Mixed_7b.', 1280, averagePool),
  blockE('Mixed_7c.', 2048, { kind: 'maxPool', stride: 1 }),
];

/** Every convolution, in the order of the layers. */
export function inceptionConvolutions(
  layers: readonly InceptionLayer[] = INCEPTION_LAYERS,
): InceptionConvolution[] {
  return layers.flatMap((layer) => {
    if (layer.kind === 'convolution') return [layer];
    return layer.kind === 'branches' ? layer.branches.flatMap(inceptionConvolutions) : [];
  });
}
