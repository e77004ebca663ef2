/** @file Models that are stored in 8 bits: the layers' products as integers, with a scale for each row. */

import { CheckpointError } from '../errors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { unroundedMatrix } from '../tensor/round-rows.ts';
import { arrayFromBytes, type Tensor } from '../tensor/tensor.ts';
import { ROUNDED_MARKER } from './format-version.ts';

/** Added to the name of a weight for that of its scales. */
export const SCALES = '.scales';
/** Names of the weights that are stored as integers. */
export const ROUNDED = /^blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])\.weight$/;

/**
 * The archive with its weights in float32, if some are stored in 8 bits.
 * @throws {CheckpointError} if integers have no scales that fit their shape
 */
export function unroundedArchive(archive: TensorArchive): TensorArchive {
  const roundedNames = new Set(archive.names.filter((name) => archive.info(name).dtype === 'int8'));
  if (roundedNames.size === 0) return archive;
  for (const name of roundedNames) requireScales(archive, name);
  const isWeight = (name: string): boolean =>
    name !== ROUNDED_MARKER && !(name.endsWith(SCALES) && roundedNames.has(name.slice(0, -SCALES.length)));
  const names = archive.names.filter(isWeight);
  return {
    ...archive,
    names,
    has: (name) => names.includes(name),
    info: (name) => ({ ...archive.info(name), ...(roundedNames.has(name) && { dtype: 'float32' }) }),
    async read(name, room) {
      if (!roundedNames.has(name)) return archive.read(name, room);
      const values = (await archive.read(name)) as Tensor<'int8'>;
      const scales = toFloat32(await archive.read(name + SCALES));
      const fits = room?.byteLength === 4 * values.data.length;
      return unroundedMatrix({ values, scales }, fits ? arrayFromBytes('float32', room) : undefined);
    },
  };
}

function requireScales(archive: TensorArchive, name: string): void {
  const { shape } = archive.info(name);
  const scales = archive.has(name + SCALES) ? archive.info(name + SCALES) : undefined;
  if (ROUNDED.test(name) && scales?.dtype === 'float32' && scales.shape.join() === String(shape[0])) return;
  throw new CheckpointError(
    `${name}: holds integers of 8 bits without the scales (${SCALES}) that acdit convert --dtype int8 writes; convert the original`,
  );
}
