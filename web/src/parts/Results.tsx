/** @file Downloads of what was made. */

import { useMemo, useState } from 'preact/hooks';
import { at } from '../../../src/at.ts';
import type { ModelCard } from '../engine/engine.ts';
import type { LocalEngine } from '../engine/local.ts';
import type { Decoded } from '../model/decoded.ts';
import { save, saveImage, videoFrames, writesWebp } from '../model/files.ts';
import { paintFrames } from '../model/painting.ts';
import type { Run } from '../model/run.ts';
import { className } from './ClassPicker.tsx';
import { FPS } from './FrameCanvas.tsx';

interface ResultsProps {
  readonly run: Run;
  readonly model: ModelCard;
  readonly local: LocalEngine;
  /** The states that an image went through. */
  readonly history: readonly Run[];
  readonly decoded: Decoded | undefined;
  /** Whether it is still being decoded. */
  readonly pending: boolean;
}

/** Frames per second of the video of an image's making. */
const MAKING_FPS = 12;

export function Results({ run, model, local, history, decoded, pending }: ResultsProps) {
  const [problem, setProblem] = useState<string>();
  const frames = useMemo(() => paintFrames(run.config, run.blocks, undefined, decoded), [run, decoded]);
  const isVideo = frames.length > 1;
  const hasWebp = useMemo(() => !isVideo && writesWebp(), [isVideo]);
  const name = `${className(model, run.order.label)} ${run.order.seed}`.replace(/\W+/g, '-').toLowerCase();
  const guarded = (work: Promise<void>): void => {
    setProblem(undefined);
    work.catch((error: Error) => setProblem(error.message));
  };
  const saveAs = (format: 'png' | 'webp'): void => guarded(saveImage(at(frames, 0), name, format));
  async function saveMp4(): Promise<void> {
    const making = history.flatMap(({ config, blocks, live }) => paintFrames(config, blocks, live, decoded));
    const large = videoFrames(isVideo ? frames : making);
    const { width, height } = at(large, 0);
    const pixels = large.map(({ data }) => new Uint8Array(data.buffer));
    save(
      await local.video({ frames: pixels, width, height, fps: isVideo ? FPS : MAKING_FPS }),
      `${name}.mp4`,
    );
  }
  return (
    <div class="results">
      <h2>Download</h2>
      <div class="row">
        <button type="button" disabled={pending} onClick={() => saveAs('png')}>
          {isVideo ? 'First frame as PNG' : 'PNG'}
        </button>
        {hasWebp && (
          <button type="button" disabled={pending} onClick={() => saveAs('webp')}>
            WebP
          </button>
        )}
        <button
          type="button"
          disabled={pending || (!isVideo && history.length === 0)}
          onClick={() => guarded(saveMp4())}
        >
          {isVideo ? 'MP4' : 'MP4 of its making'}
        </button>
      </div>
      {problem && (
        <p role="alert" class="error">
          {problem}
        </p>
      )}
    </div>
  );
}
