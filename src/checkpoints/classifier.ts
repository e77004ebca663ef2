/** @file Classifiers on disk: a folder with `config.json` and `model.safetensors`. */

import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { makeFolders } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import {
  type CompileClassifierOptions,
  classifierParameters,
  validateClassifier,
} from '../models/classifier/classifier.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { parseConfigOf } from './config-json.ts';
import { CONFIG_FILE, readConfig, WEIGHTS_FILE } from './load.ts';
import { storedAs, writeConfig } from './save.ts';

const schema = z.object({
  modelType: z.literal('classifier'),
  name: z.string().regex(/^[\w.-]{1,64}$/),
  classNames: z.array(z.string()),
  channels: z.number(),
  imageSize: z.number(),
  widths: z.array(z.number()),
  testAccuracy: z.number().exactOptional(),
});

/** A classifier in memory. */
export type LoadedClassifier = Omit<CompileClassifierOptions, 'device'>;

/**
 * Read a classifier.
 * @throws {CheckpointError} if the folder holds none; {FormatError} if a file is damaged; {ConfigError} if the numbers of
 * its configuration do not fit together.
 */
export async function loadClassifier(folder: string): Promise<LoadedClassifier> {
  const hint = `a classifier is a folder of ${CONFIG_FILE} and ${WEIGHTS_FILE}`;
  const config = await readConfig(folder, hint, (text, name) =>
    parseConfigOf('classifier', text, name, schema, validateClassifier),
  );
  const path = join(folder, WEIGHTS_FILE);
  return closingAfter(await openSafetensors(await openFile(path)), async (archive) => {
    const weights = new Map<string, Tensor<'float32'>>();
    for (const [name, shape] of classifierParameters(config)) {
      const got = archive.has(name) ? archive.info(name).shape : undefined;
      if (got?.join() !== shape.join()) {
        throw new CheckpointError(
          `${path}: '${name}' must have shape [${shape}], ${got ? `got [${got}]` : 'and is missing'}`,
        );
      }
      weights.set(name, toFloat32(await archive.read(name)));
    }
    return { config, weights };
  });
}

/** Write a classifier in half precision; each file is replaced as a whole or not at all. */
export async function saveClassifier(folder: string, { config, weights }: LoadedClassifier): Promise<void> {
  await makeFolders(folder);
  await writeSafetensors(join(folder, WEIGHTS_FILE), storedAs(weights, 'float16'), { format: 'pt' });
  await writeConfig(folder, config);
}
