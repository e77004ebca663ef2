/**
 * @file The layers of the Inception v3 network of 2015-12-05, used for FID (Szegedy et al. 2015; Heusel et
 * al. 2017), as data. It differs from the Inception v3 of today's libraries: the mean of a pooling window is that of the
 * pixels in it, without padding; the last block has max pooling; and there are 1008 outputs.
 */

import type { Branches, ConvolutionLayer, NetworkLayer, PoolLayer } from '../network-layers.ts';

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

/** Rows and columns. */
type Pair = readonly [number, number];

/** What is left to say of a convolution when its block and what comes before it are known. */
type ConvolutionStep = Omit<ConvolutionLayer, 'inputs'>;
type Step = ConvolutionStep | PoolLayer | Chains;
/** Steps of branches, side by side. */
type Chains = readonly (readonly Step[])[];

const one: Pair = [1, 1];
const three: Pair = [3, 3];
const row: Pair = [1, 7];
const column: Pair = [7, 1];
const averagePool: PoolLayer = { kind: 'averagePool', kernel: three, stride: one, padding: 'same' };
const maxPool: PoolLayer = { kind: 'maxPool', kernel: three, stride: one, padding: 'same' };
const halve: PoolLayer = { kind: 'maxPool', kernel: three, stride: [2, 2], padding: 'valid' };

function conv(
  name: string,
  outputs: number,
  kernel: Pair,
  padding: 'same' | 'valid' = 'same',
  stride: Pair = one,
): ConvolutionStep {
  return { kind: 'convolution', name, outputs, kernel, stride, padding, last: false };
}

/** A convolution of 3 x 3 that halves rows and columns, without padding. */
function halving(name: string, outputs: number): ConvolutionStep {
  return conv(name, outputs, three, 'valid', [2, 2]);
}

/** Layers one after the other. */
function chain(block: string, inputs: number, steps: readonly Step[]): NetworkLayer[] {
  let channels = inputs;
  return steps.map((step): NetworkLayer => {
    if (!('kind' in step)) return branches(block, channels, step);
    if (step.kind !== 'convolution') return step;
    const layer = { ...step, name: block + step.name, inputs: channels };
    channels = step.outputs;
    return layer;
  });
}

function branches(block: string, inputs: number, chains: Chains): Branches {
  return { kind: 'branches', branches: chains.map((steps) => chain(block, inputs, steps)) };
}

/** 35 x 35. */
function blockA(poolOutputs: number): Chains {
  return [
    [conv('branch1x1', 64, one)],
    [conv('branch5x5_1', 48, one), conv('branch5x5_2', 64, [5, 5])],
    [conv('branch3x3dbl_1', 64, one), conv('branch3x3dbl_2', 96, three), conv('branch3x3dbl_3', 96, three)],
    [averagePool, conv('branch_pool', poolOutputs, one)],
  ];
}

/** 35 x 35 to 17 x 17. */
const BLOCK_B: Chains = [
  [halving('branch3x3', 384)],
  [conv('branch3x3dbl_1', 64, one), conv('branch3x3dbl_2', 96, three), halving('branch3x3dbl_3', 96)],
  [halve],
];

/** 17 x 17, with kernels of a row or a column. @param inner channels between them */
function blockC(inner: number): Chains {
  return [
    [conv('branch1x1', 192, one)],
    [conv('branch7x7_1', inner, one), conv('branch7x7_2', inner, row), conv('branch7x7_3', 192, column)],
    [
      conv('branch7x7dbl_1', inner, one),
      conv('branch7x7dbl_2', inner, column),
      conv('branch7x7dbl_3', inner, row),
      conv('branch7x7dbl_4', inner, column),
      conv('branch7x7dbl_5', 192, row),
    ],
    [averagePool, conv('branch_pool', 192, one)],
  ];
}

/** 17 x 17 to 8 x 8. */
const BLOCK_D: Chains = [
  [conv('branch3x3_1', 192, one), halving('branch3x3_2', 320)],
  [
    conv('branch7x7x3_1', 192, one),
    conv('branch7x7x3_2', 192, row),
    conv('branch7x7x3_3', 192, column),
    halving('branch7x7x3_4', 192),
  ],
  [halve],
];

/** 8 x 8, where two branches fork once more. */
function blockE(pool: PoolLayer): Chains {
  const fork = (name: string): Chains => [[conv(`${name}a`, 384, [1, 3])], [conv(`${name}b`, 384, [3, 1])]];
  return [
    [conv('branch1x1', 320, one)],
    [conv('branch3x3_1', 384, one), fork('branch3x3_2')],
    [conv('branch3x3dbl_1', 448, one), conv('branch3x3dbl_2', 384, three), fork('branch3x3dbl_3')],
    [pool, conv('branch_pool', 192, one)],
  ];
}

/** From an image (3, 299, 299) to (2048, 8, 8). */
export const INCEPTION_LAYERS: readonly NetworkLayer[] = [
  ...chain('', 3, [
    halving('Conv2d_1a_3x3', 32),
    conv('Conv2d_2a_3x3', 32, three, 'valid'),
    conv('Conv2d_2b_3x3', 64, three),
    halve,
    conv('Conv2d_3b_1x1', 80, one),
    conv('Conv2d_4a_3x3', 192, three, 'valid'),
    halve,
  ]),
  branches('Mixed_5b.', 192, blockA(32)),
  branches('Mixed_5c.', 256, blockA(64)),
  branches('Mixed_5d.', 288, blockA(64)),
  branches('Mixed_6a.', 288, BLOCK_B),
  branches('Mixed_6b.', 768, blockC(128)),
  branches('Mixed_6c.', 768, blockC(160)),
  branches('Mixed_6d.', 768, blockC(160)),
  branches('Mixed_6e.', 768, blockC(192)),
  branches('Mixed_7a.', 768, BLOCK_D),
  branches('Mixed_7b.', 1280, blockE(averagePool)),
  branches('Mixed_7c.', 2048, blockE(maxPool)),
];
