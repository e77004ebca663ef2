/** @file What was made before, to go back to. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type Frame, unpackFrames } from '../model/frame.ts';
import type { Keepsake } from '../model/gallery.ts';
import { paintFrames } from '../model/painting.ts';
import { cutBlocks } from '../model/run.ts';
import { className } from '../parts/ClassPicker.tsx';
import { Picture } from '../parts/Picture.tsx';

interface GalleryProps {
  readonly kept: readonly Keepsake[];
  onRecall(keepsake: Keepsake): void;
  onRemove(id: string): void;
}

export function GalleryView({ kept, onRecall, onRemove }: GalleryProps) {
  return (
    <section class="gallery" aria-labelledby="gallery-title">
      <h2 id="gallery-title">Gallery</h2>
      {kept.length === 0 && <p class="hint">What you make is kept here, in this browser only.</p>}
      <ul>
        {kept.map((keepsake) => (
          <Item key={keepsake.id} {...{ keepsake, onRecall, onRemove }} />
        ))}
      </ul>
    </section>
  );
}

interface ItemProps extends Omit<GalleryProps, 'kept'> {
  readonly keepsake: Keepsake;
}

function Item({ keepsake, onRecall, onRemove }: ItemProps) {
  const { config, order, id } = keepsake;
  const frames = useFrames(keepsake);
  const name = className({ config }, order.label);
  return (
    <li>
      <button type="button" class="item" onClick={() => onRecall(keepsake)}>
        <Picture frames={frames} label={name} playing />
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

/** Decoded pictures where they are kept, else what the values show by themselves. */
function useFrames({ config, values, pictures }: Keepsake): readonly Frame[] {
  const painted = useMemo(() => paintFrames(config, cutBlocks(config, values)), [values]);
  const [decoded, setDecoded] = useState<readonly Frame[]>();
  useEffect(() => {
    if (pictures) unpackFrames(pictures).then(setDecoded, () => setDecoded(undefined));
  }, [pictures]);
  return decoded ?? painted;
}
