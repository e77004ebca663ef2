/** @file What was made before, to go back to. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Frame, unpackFrames } from '../model/frame.ts';
import type { GalleryEntry } from '../model/gallery.ts';
import { paintFrames } from '../model/painting.ts';
import { cutBlocks } from '../model/run.ts';
import { className } from '../parts/ClassPicker.tsx';
import { FrameCanvas } from '../parts/FrameCanvas.tsx';

interface GalleryProps {
  readonly entries: readonly GalleryEntry[];
  onRecall(entry: GalleryEntry): void;
  onRemove(id: string): void;
}

export function GalleryView({ entries, onRecall, onRemove }: GalleryProps) {
  return (
    <section class="gallery" aria-labelledby="gallery-title">
      <h2 id="gallery-title">Gallery</h2>
      {entries.length === 0 && <p class="hint">What you make is kept here, in this browser only.</p>}
      <ul>
        {entries.map((entry) => (
          <Item key={entry.id} {...{ entry, onRecall, onRemove }} />
        ))}
      </ul>
    </section>
  );
}

interface ItemProps extends Omit<GalleryProps, 'entries'> {
  readonly entry: GalleryEntry;
}

function Item({ entry, onRecall, onRemove }: ItemProps) {
  const { config, order, id } = entry;
  const frames = useFrames(entry);
  const name = className({ config }, order.label);
  return (
    <li>
      <button type="button" class="item" onClick={() => onRecall(entry)}>
        <FrameCanvas frames={frames} label={name} playing />
        <span>
          {name}
          <br />
          seed {order.seed}
        </span>
      </button>
      <button
        type="button"
        class="remove"
        aria-label={`Remove ${name}, seed ${order.seed}`}
        onClick={() => onRemove(id)}
      >
        ×
      </button>
    </li>
  );
}

/** The decoded frames if they are stored, otherwise the values painted. */
function useFrames({ config, values, pictures }: GalleryEntry): readonly Frame[] {
  const painted = useMemo(() => paintFrames(config, cutBlocks(config, values)), [values]);
  const [decoded, setDecoded] = useState<readonly Frame[]>();
  useEffect(() => {
    if (pictures) unpackFrames(pictures).then(setDecoded, () => setDecoded(undefined));
  }, [pictures]);
  return decoded ?? painted;
}
