/** @file The decoded pictures of a run of latents, as a component sees them. */

import { useEffect, useState } from 'preact/hooks';
import type { LocalEngine } from '../engine/local.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { type Decoded, nextPortion } from '../model/decoded.ts';
import { frameOf, unpackFrames } from '../model/frame.ts';
import type { Run } from '../model/run.ts';

/** What decodes, if there is an autoencoder that fits. */
export interface DecoderProps {
  readonly local: LocalEngine;
  readonly autoencoder: AutoencoderCard | undefined;
}

export interface Decoding {
  readonly decoded?: Decoded;
  /** Whether finished blocks wait for it. */
  readonly pending: boolean;
  /** What to say of it; nothing for models of pixels. */
  readonly note: string;
}

/** What is known of the run of an order. */
interface Known {
  readonly order?: Run['order'];
  readonly decoded?: Decoded;
  readonly error?: string;
}

/** @param kept the run's pictures, if they were decoded before. */
export function useDecoded(
  { local, autoencoder }: DecoderProps,
  run: Run | undefined,
  kept?: readonly Blob[],
): Decoding {
  const [known, setKnown] = useState<Known>({});
  const current: Known = known.order === run?.order ? known : {};
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const portion = run && nextPortion(run, current.decoded);
    if (!run || !portion || !(kept || autoencoder)) return;
    const { order } = run;
    async function decode(): Promise<readonly Decoded['frames'][number][]> {
      if (kept) return unpackFrames(kept);
      const { config, values, before } = portion!;
      const images = await local.decode({ id: autoencoder!.id, config, values }, signal);
      return [...before, ...images.map(frameOf)];
    }
    decode().then(
      (frames) => !signal.aborted && setKnown({ order, decoded: { blocks: portion.blocks, frames } }),
      (error: Error) => !signal.aborted && setKnown({ ...current, order, error: error.message }),
    );
    // The next block makes it anew.
    return () => controller.abort();
  }, [run?.blocks, autoencoder?.id, kept]);

  const { decoded, error } = current;
  const possible = run !== undefined && (kept !== undefined || autoencoder !== undefined);
  const pending = possible && error === undefined && nextPortion(run, decoded) !== undefined;
  return {
    ...(decoded && { decoded }),
    pending,
    note: run ? noteOf(run, { possible, pending, error }) : '',
  };
}

function noteOf(
  { config, status }: Run,
  { possible, pending, error }: { possible: boolean; pending: boolean; error: string | undefined },
): string {
  if (config.space !== 'latents') return '';
  if (error !== undefined) return `It cannot be decoded: ${error}.`;
  if (!possible) return 'Latents are shown, not decoded.';
  if (status === 'running') return 'Finished blocks are decoded; the one in progress is shown as latents.';
  if (status === 'waiting') return '';
  return pending ? 'Decoding …' : 'Decoded.';
}
