/** @file A classifier that is ready to run. */

import { take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { input } from '../../graph/symbolic.ts';
import type { Device } from '../../runtime/device.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import { classifierInputs, classify } from './classifier.ts';
import type { ClassifierConfig } from './config.ts';

/** What a classifier said of N images. */
export interface ClassifiedImages {
  /** (N, features) */
  readonly features: Tensor<'float32'>;
  /** (N, classes) */
  readonly logits: Tensor<'float32'>;
}

/** A classifier of images, compiled. */
export interface Classifier {
  readonly config: ClassifierConfig;
  /**
   * @param images (N, channels, H, W) in [-1, 1], any number of them.
   * @throws {ShapeError} if they are of another shape than those it was trained on.
   */
  classify(images: Tensor<'float32'>): Promise<ClassifiedImages>;
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
  const symbols = classifierInputs(config);
  const images = input('images', ['samples', channels, imageSize, imageSize]);
  const program = await device.compile(
    { inputs: [images, ...Object.values(symbols)], outputs: { ...classify(config, symbols, images) } },
    Object.fromEntries(weights),
  );
  return {
    config,
    async classify(images) {
      const expected = [images.shape[0], channels, imageSize, imageSize];
      if (images.shape.join() !== expected.join()) {
        throw new ShapeError(
          `${config.name}: images must have shape [N, ${expected.slice(1).join(', ')}], got [${images.shape}]`,
        );
      }
      const { features, logits } = await program.run({ images });
      return { features, logits } as { features: Tensor<'float32'>; logits: Tensor<'float32'> };
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
