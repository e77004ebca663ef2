/** @file Which blocks of a finished picture to keep; the others are made anew. Clips may also be gone on from. */

import { useState } from 'preact/hooks';
import type { ModelCard } from '../engine/engine.ts';
import type { Run } from '../model/run.ts';
import { NumberField, Slider } from './fields.tsx';

interface KeepBlocksProps {
  readonly run: Run;
  readonly model: ModelCard;
  readonly keep: number;
  onKeep(count: number): void;
  onGoOn(keep: number, blocks: number): void;
}

/** Blocks that a clip may be prolonged by at a time. */
const MOST_MORE = 20;

export function KeepBlocks({ run, model, keep, onKeep, onGoOn }: KeepBlocksProps) {
  const [more, setMore] = useState(1);
  const { blocks } = run.config;
  const own = model.config.blocks;
  const isClip = model.config.frames > 1;
  const divided = !isClip && blocks !== own;
  if (divided) return null;
  return (
    <div class="keep">
      <h2>Go on from a block</h2>
      <p class="hint">
        {isClip ? 'Choose how many blocks to keep.' : 'Draw over the blocks to keep, or use the slider.'} The
        others are made anew, with another seed.
      </p>
      <Slider label={`Blocks to keep, of ${blocks}`} value={keep} min={0} max={blocks} onChange={onKeep} />
      <div class="row">
        <button type="button" disabled={keep >= blocks} onClick={() => onGoOn(keep, blocks)}>
          Make the others anew
        </button>
        {isClip && own > 1 && (
          <>
            <NumberField label="More blocks" value={more} min={1} max={MOST_MORE} onChange={setMore} />
            <button type="button" onClick={() => onGoOn(blocks, blocks + more)}>
              Go on
            </button>
          </>
        )}
      </div>
    </div>
  );
}
