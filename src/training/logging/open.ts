/** @file Several logs at once, and those that every training keeps. */

import { join } from 'node:path';
import { openJsonlTracker } from './jsonl.ts';
import { openTensorBoardTracker } from './tensorboard.ts';
import type { Tracker } from './tracker.ts';

/** The log of a training as JSON lines, in its folder. */
export const METRICS_FILE = 'metrics.jsonl';

/** Folder of TensorBoard's event files, in a run's folder. */
export const TENSORBOARD_FOLDER = 'tensorboard';

/** One tracker that reports to several. */
export function combineTrackers(trackers: readonly Tracker[]): Tracker {
  return {
    scalars(step, record) {
      for (const tracker of trackers) tracker.scalars(step, record);
    },
    image(step, name, png) {
      for (const tracker of trackers) tracker.image(step, name, png);
    },
    close() {
      for (const tracker of trackers) tracker.close();
    },
  };
}

/**
 * The logs of a training folder: `metrics.jsonl` and TensorBoard's event files in `tensorboard/`.
 * @param resumedStep the step of the checkpoint that training resumes from; 0 starts again. What was logged
 * after that step is dropped.
 */
export function openTrackers(folder: string, resumedStep = 0): Tracker {
  return combineTrackers([
    openJsonlTracker(join(folder, METRICS_FILE), resumedStep),
    openTensorBoardTracker(join(folder, TENSORBOARD_FOLDER), resumedStep),
  ]);
}
