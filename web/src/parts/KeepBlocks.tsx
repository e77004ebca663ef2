/** @file Which blocks of a finished image to keep; the others are made again. Videos can also be continued. */

import { useState } from 'preact/hooks';
import { canExtend } from '../../../src/models/acdit/config.ts';
import type { ModelCard } from '../engine/engine.ts';
import type { Run } from '../model/run.ts';
import { NumberField, Slider } from './fields.tsx';

interface KeepBlocksProps {
  readonly run: Run;
  readonly model: ModelCard;
  readonly keep: number;
  onKeep(count: number): void;
  onContinue(keep: number, blocks: number): void;
}

/** Blocks that a video can be extended by at once. */
const MAX_MORE = 20;

export function KeepBlocks({ run, model, keep, onKeep, onContinue }: KeepBlocksProps) {
  const [more, setMore] = useState(1);
  const { blocks } = run.config;
  const isVideo = model.config.frames > 1;
  const divided = !isVideo && blocks !== model.config.blocks;
  if (divided) return null;
  return (
    <div class="keep">
      <h2>Continue from a block</h2>
      <p class="hint">
        {isVideo ? 'Choose how many blocks to keep.' : 'Draw over the blocks to keep, or use the slider.'} The
        others are made again with a different seed.
      </p>
      <Slider label={`Blocks to keep, of ${blocks}`} value={keep} min={0} max={blocks} onChange={onKeep} />
      <div class="row">
        <button type="button" disabled={keep >= blocks} onClick={() => onContinue(keep, blocks)}>
          Make the others again
        </button>
        {canExtend(model.config) && (
          <>
            <NumberField label="More blocks" value={more} min={1} max={MAX_MORE} onChange={setMore} />
            <button type="button" onClick={() => onContinue(blocks, blocks + more)}>
              Continue
            </button>
          </>
        )}
      </div>
    </div>
  );
}
