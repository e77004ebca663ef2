/**
 * @file The convolutions of I3D: Inception v1 with every kernel inflated to three dimensions (Carreira and Zisserman
 * 2017). Its logits of Kinetics-400 are the features of the Fréchet Video Distance.
 */

/** Classes of Kinetics-400, so many logits there are. */
export const I3D_CLASSES = 400;
/** Height and width of the frames that it takes. */
export const I3D_SIZE = 224;
/** With fewer frames there is nothing left in time before the last pooling, whose window is 2. */
export const I3D_LEAST_FRAMES = 9;

/** A convolution; all but the last are followed by a batch norm and ReLU. */
export interface I3dConvolution {
  /** As in the PyTorch port of VideoGPT and TATS. */
  readonly name: string;
  readonly inputs: number;
  readonly outputs: number;
  /** Size of the kernel along each of time, height and width. */
  readonly kernel: 1 | 3 | 7;
  readonly stride: 1 | 2;
  readonly last: boolean;
}

/** Channels of a block's convolutions: of the first branch, of two each of the second and third, and of the fourth. */
type BlockChannels = readonly [number, number, number, number, number, number];

interface Block {
  readonly name: string;
  readonly inputs: number;
  readonly channels: BlockChannels;
}

function block(name: string, inputs: number, ...channels: BlockChannels): Block {
  return { name: `Mixed_${name}`, inputs, channels };
}

/** The Inception blocks, at three resolutions. */
export const I3D_BLOCKS = [
  [block('3b', 192, 64, 96, 128, 16, 32, 32), block('3c', 256, 128, 128, 192, 32, 96, 64)],
  [
    block('4b', 480, 192, 96, 208, 16, 48, 64),
    block('4c', 512, 160, 112, 224, 24, 64, 64),
    block('4d', 512, 128, 128, 256, 24, 64, 64),
    block('4e', 512, 112, 144, 288, 32, 64, 64),
    block('4f', 528, 256, 160, 320, 32, 128, 128),
  ],
  [block('5b', 832, 256, 160, 320, 32, 128, 128), block('5c', 832, 384, 192, 384, 48, 128, 128)],
] as const satisfies readonly (readonly Block[])[];

function convolution(
  name: string,
  inputs: number,
  outputs: number,
  kernel: I3dConvolution['kernel'],
  stride: I3dConvolution['stride'] = 1,
): I3dConvolution {
  return { name, inputs, outputs, kernel, stride, last: name === 'logits' };
}

function blockConvolutions({ name, inputs, channels }: Block): I3dConvolution[] {
  const [b0, b1a, b1b, b2a, b2b, b3b] = channels;
  return [
    convolution(`${name}.b0`, inputs, b0, 1),
    convolution(`${name}.b1a`, inputs, b1a, 1),
    convolution(`${name}.b1b`, b1a, b1b, 3),
    convolution(`${name}.b2a`, inputs, b2a, 1),
    convolution(`${name}.b2b`, b2a, b2b, 3),
    convolution(`${name}.b3b`, inputs, b3b, 1),
  ];
}

/** Every convolution, in the order in which a clip meets them. */
export const I3D_CONVOLUTIONS: readonly I3dConvolution[] = [
  convolution('Conv3d_1a_7x7', 3, 64, 7, 2),
  convolution('Conv3d_2b_1x1', 64, 64, 1),
  convolution('Conv3d_2c_3x3', 64, 192, 3),
  ...I3D_BLOCKS.flat().flatMap(blockConvolutions),
  convolution('logits', 1024, I3D_CLASSES, 1),
];

/** Shape of a convolution's weight: (outputs, inputs, time, height, width). */
export function i3dWeightShape({ inputs, outputs, kernel }: I3dConvolution): number[] {
  return [outputs, inputs, kernel, kernel, kernel];
}
