/**
 * @file A small convolutional network that classifies images. Each stage halves the image by a strided convolution
 * and refines it by a residual one (He et al. 2016); the mean over the places of the last stage are the features, and
 * one linear layer turns them into logits.
 */

import { get, take } from '../../at.ts';
import { ConfigError, ShapeError } from '../../errors.ts';
import { graphOf } from '../../graph/onnx.ts';
import { add, convolution, linear, reduceMean, relu } from '../../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import { printableList } from '../../io/printable.ts';
import type { Device } from '../../runtime/device.ts';
import type { Generator } from '../../tensor/generator.ts';
import { elementCount, float32, type Tensor, zeros } from '../../tensor/tensor.ts';

/** The configuration as `config.json` holds it. */
export interface ClassifierConfig {
  readonly modelType: 'classifier';
  /** What to call it, and what its features are said to be of. */
  readonly name: string;
  /** One name per class. */
  readonly classNames: readonly string[];
  /** 1 or 3. */
  readonly channels: number;
  /** Side of the square images that it sees. */
  readonly imageSize: number;
  /** Channels of each stage; a stage halves height and width. Those of the last are the features. */
  readonly widths: readonly number[];
  /** Share of the test images that it names rightly, where that was measured. */
  readonly testAccuracy?: number;
}

/**
 * Check a configuration as a whole.
 * @throws {ConfigError} naming the first field that does not fit.
 */
export function validateClassifier(config: ClassifierConfig): ClassifierConfig {
  const fail = (problem: string): never => {
    throw new ConfigError(`classifier configuration: ${problem}`);
  };
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  const { classNames, channels, imageSize, widths, testAccuracy } = config;
  if (classNames.length < 2) fail(`classNames must be at least 2, got ${classNames.length}`);
  if (channels !== 1 && channels !== 3) fail(`channels must be 1 or 3, got ${channels}`);
  if (widths.length === 0 || !widths.every(isCount)) {
    fail(`widths must be whole numbers above 0, one per stage, got [${printableList(widths)}]`);
  }
  const factor = 2 ** widths.length;
  if (!isCount(imageSize) || imageSize % factor !== 0) {
    fail(`imageSize must be a multiple of ${factor}, which ${widths.length} stages halve, got ${imageSize}`);
  }
  if (testAccuracy !== undefined && !(testAccuracy >= 0 && testAccuracy <= 1)) {
    fail(`testAccuracy must be 0 to 1, got ${testAccuracy}`);
  }
  return config;
}

const KERNEL = 3;
/** Keeps the size of an image at stride 1, and halves an even one at stride 2. */
const PADDING = [1, 1, 1, 1] as const;
/** Axes of height and width. */
const PLACES = [2, 3] as const;

/** Name and shape of every parameter. */
export function classifierParameters(config: ClassifierConfig): Map<string, number[]> {
  const shapes = new Map<string, number[]>();
  const layer = (name: string, outputs: number, ...inner: number[]): void => {
    shapes.set(`${name}.weight`, [outputs, ...inner]);
    shapes.set(`${name}.bias`, [outputs]);
  };
  let channels = config.channels;
  for (const [stage, width] of config.widths.entries()) {
    layer(`stages.${stage}.halve`, width, channels, KERNEL, KERNEL);
    layer(`stages.${stage}.refine`, width, width, KERNEL, KERNEL);
    channels = width;
  }
  layer('head', config.classNames.length, channels);
  return shapes;
}

/** The parameters as inputs of a graph, by name. */
export function classifierInputs(config: ClassifierConfig): Record<string, SymbolicTensor> {
  return Object.fromEntries(
    [...classifierParameters(config)].map(([name, shape]) => [name, input(name, shape)]),
  );
}

/** What a classifier says of N images. */
export interface Classification<Value = Tensor<'float32'>> {
  /** (N, last width) */
  readonly features: Value;
  /** (N, classes) */
  readonly logits: Value;
}

/**
 * The network as a graph.
 * @param images (N, channels, H, W) in [-1, 1]
 */
export function classify(
  config: ClassifierConfig,
  weights: Readonly<Record<string, SymbolicTensor>>,
  images: SymbolicTensor,
): Classification<SymbolicTensor> {
  let x = images;
  for (const stage of config.widths.keys()) {
    const convolve = (name: string, from: SymbolicTensor, stride: number): SymbolicTensor => {
      const part = (kind: string) => get(weights, `stages.${stage}.${name}.${kind}`);
      return convolution(from, part('weight'), part('bias'), { stride, padding: PADDING });
    };
    x = relu(convolve('halve', x, 2));
    x = relu(add(x, convolve('refine', x, 1)));
  }
  const features = reduceMean(x, PLACES);
  return { features, logits: linear(features, get(weights, 'head.weight'), get(weights, 'head.bias')) };
}

/**
 * Normal weights that keep the size of what passes ReLU (He et al. 2015), and zeros for biases and for what is added
 * to a residual, so that a stage begins as its strided convolution alone.
 */
export function initializeClassifier(
  config: ClassifierConfig,
  generator: Generator,
): Map<string, Tensor<'float32'>> {
  const initialize = (name: string, shape: readonly number[]): Tensor<'float32'> => {
    if (name.endsWith('bias') || name.includes('refine')) return zeros('float32', shape);
    const deviation = Math.sqrt(2 / elementCount(shape.slice(1)));
    const values = generator.randn(elementCount(shape)).map((value) => value * deviation);
    return float32(shape, values);
  };
  return new Map([...classifierParameters(config)].map(([name, shape]) => [name, initialize(name, shape)]));
}

/** A classifier of images, compiled. */
export interface Classifier {
  readonly config: ClassifierConfig;
  /**
   * @param images (N, channels, H, W) in [-1, 1], any number of them.
   * @throws {ShapeError} if they are of another shape than those it was trained on.
   */
  classify(images: Tensor<'float32'>): Promise<Classification>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** What a classifier is compiled from. */
export interface CompileClassifierOptions {
  readonly config: ClassifierConfig;
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
  readonly device: Device;
}

/** Compile a classifier with its weights, of which it keeps a copy. */
export async function compileClassifier(options: CompileClassifierOptions): Promise<Classifier> {
  const { config, weights, device } = options;
  const { channels, imageSize } = config;
  const images = input('images', ['samples', channels, imageSize, imageSize]);
  const outputs = { ...classify(config, classifierInputs(config), images) };
  const program = await device.compile(graphOf(outputs), Object.fromEntries(weights));
  return {
    config,
    async classify(images) {
      const expected = [images.shape[0], channels, imageSize, imageSize];
      if (images.shape.join() !== expected.join()) {
        throw new ShapeError(
          `${config.name}: images must have shape [N, ${expected.slice(1).join(', ')}], got [${images.shape}]`,
        );
      }
      return (await program.run({ images })) as Record<keyof Classification, Tensor<'float32'>>;
    },
    dispose: () => program.dispose(),
  };
}

/** The likeliest class of each row of logits (N, classes). */
export function predictedClasses({ shape, data }: Tensor): number[] {
  const [count, classes] = take(shape, 2);
  return Array.from({ length: count }, (_, i) => {
    const row = Array.from(data.subarray(i * classes, (i + 1) * classes), Number);
    return row.indexOf(Math.max(...row));
  });
}
