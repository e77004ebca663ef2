/** @file Sets of samples opened from paths, whatever they are kept in. */

import { openFile } from '../formats/file-source.ts';
import { openNpz } from '../formats/npz.ts';
import { isFolder } from '../training/datasets/class-folders.ts';
import { isIdxImages } from '../training/datasets/idx-dataset.ts';
import { type EvaluationSet, readEvaluationSet } from './evaluation-set.ts';
import { openIdxSource } from './idx-source.ts';
import { IMAGES, openImageArray } from './image-array.ts';
import { openImageFolder } from './image-folder.ts';
import type { SampleSource } from './sample-source.ts';

/** A set with all that is to be compared, or with samples whose features are still to be computed. */
export type OpenedSet =
  | { readonly kind: 'features'; readonly set: EvaluationSet }
  | {
      readonly kind: 'images';
      readonly images: SampleSource;
      /** Statistics that are stored beside the images, and may be those of more. */
      readonly stored: EvaluationSet | undefined;
    };

/**
 * Open a folder of images, an `.npz` file of features, statistics or images, or an IDX file of images. Of a file with
 * features its images do not matter.
 * @throws {FormatError} if it is none of these; {DatasetError} if the folder has no images.
 */
export async function openSet(path: string): Promise<OpenedSet> {
  if (await isFolder(path)) return { kind: 'images', images: await openImageFolder(path), stored: undefined };
  if (isIdxImages(path)) return { kind: 'images', images: await openIdxSource(path), stored: undefined };
  const npz = await openNpz(await openFile(path));
  try {
    const hasImages = npz.has(IMAGES) && !npz.has('features');
    const stored = !hasImages || npz.has('mu') ? await readEvaluationSet(npz, path) : undefined;
    if (!hasImages) {
      await npz.close();
      return { kind: 'features', set: stored! };
    }
    return { kind: 'images', images: await openImageArray(npz, path), stored };
  } catch (error) {
    await npz.close();
    throw error;
  }
}
