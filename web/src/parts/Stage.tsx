/** @file The image being made, with its blocks drawn over it, and which of them to keep. */

import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Decoded } from '../model/decoded.ts';
import { paintFrames } from '../model/painting.ts';
import { currentBlock, type Run } from '../model/run.ts';
import { blockAreas } from '../model/values.ts';
import { FrameCanvas } from './FrameCanvas.tsx';

/** Style of a frame that holds an image: `--shape` is its width per height. */
export function frameShape({ width, height }: Run['config']) {
  return { '--shape': width / height };
}

interface StageProps {
  readonly run: Run;
  readonly decoded: Decoded | undefined;
  readonly label: string;
  /** How many blocks to keep; undefined while there is nothing to choose. */
  readonly keep: number | undefined;
  /** Words to show in place of an image. */
  readonly children?: ComponentChildren;
  onKeep(count: number): void;
}

export function Stage({ run, decoded, label, keep, onKeep, children }: StageProps) {
  const frames = useMemo(() => paintFrames(run.config, run.blocks, run.live, decoded), [run, decoded]);
  const areas = useMemo(() => blockAreas(run.config), [run.config]);
  const [drawing, setDrawing] = useState(false);
  const isVideo = frames.length > 1;
  const live = run.live?.block ?? currentBlock(run);
  const shown = isVideo ? [] : areas;
  const cells = shown.map((area) => {
    const kept = keep !== undefined && area.block < keep;
    const state = keep !== undefined ? (kept ? 'kept' : 'open') : area.block === live ? 'live' : 'quiet';
    const choose = (): void => onKeep(kept && area.block === (keep ?? 0) - 1 ? area.block : area.block + 1);
    return (
      <rect
        key={area.block}
        class={`cell ${state}`}
        x={area.left}
        y={area.top}
        width={area.width}
        height={area.height}
        onPointerDown={() => {
          if (keep === undefined) return;
          setDrawing(true);
          choose();
        }}
        onPointerEnter={() => drawing && keep !== undefined && onKeep(area.block + 1)}
      />
    );
  });
  return (
    <div class="stage" onPointerUp={() => setDrawing(false)} onPointerLeave={() => setDrawing(false)}>
      <div class="frame" style={frameShape(run.config)}>
        <FrameCanvas frames={frames} label={label} playing={isVideo && run.status === 'done'} />
        <svg
          class={`cells ${keep === run.config.blocks ? 'whole' : ''}`}
          viewBox="0 0 1 1"
          preserveAspectRatio="none"
          aria-hidden="true"
        >
          {cells}
        </svg>
        {children}
      </div>
      {isVideo && (
        <ol class="strip" aria-label="Frames">
          {frames.map((frame, index) => (
            <li key={index}>
              <FrameCanvas frames={[frame]} label={`Frame ${index + 1}`} />
            </li>
          ))}
        </ol>
      )}
    </div>
  );
}
