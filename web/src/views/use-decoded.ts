/** @file The decoded frames of a run of latents, as components see them. */

import { useEffect, useState } from 'preact/hooks';
import type { LocalEngine } from '../engine/local.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { type Decoded, nextPortion } from '../model/decoded.ts';
import { frameOf, unpackFrames } from '../model/frame.ts';
import type { Run } from '../model/run.ts';

/** The engine that decodes, and the autoencoder that fits, if there is one. */
export interface DecoderProps {
  readonly local: LocalEngine;
  readonly autoencoder: AutoencoderCard | undefined;
}

export interface Decoding {
  readonly decoded?: Decoded;
  /** Whether finished blocks wait for it. */
  readonly pending: boolean;
  /** A sentence about it; empty for models of pixels. */
  readonly note: string;
}

/** What came of decoding the run of an order. */
interface Known {
  readonly order?: Run['order'];
  readonly decoded?: Decoded;
  readonly error?: string;
}

/** @param stored the run's frames, if they were decoded before. */
export function useDecoded(
  { local, autoencoder }: DecoderProps,
  run: Run | undefined,
  stored?: readonly Blob[],
): Decoding {
  const [known, setKnown] = useState<Known>({});
  const current: Known = known.order === run?.order ? known : {};
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const portion = run && nextPortion(run, current.decoded);
    if (!run || !portion || !(stored || autoencoder)) return;
    const { order } = run;
    async function decode(): Promise<readonly Decoded['frames'][number][]> {
      if (stored) return unpackFrames(stored);
      const { config, values, before } = portion!;
      const images = await local.decode({ id: autoencoder!.id, config, values }, signal);
      return [...before, ...images.map(frameOf)];
    }
    decode().then(
      (frames) => !signal.aborted && setKnown({ order, decoded: { blocks: portion.blocks, frames } }),
      (error: Error) => !signal.aborted && setKnown({ ...current, order, error: error.message }),
    );
    // The next block decodes again.
    return () => controller.abort();
  }, [run?.blocks, autoencoder?.id, stored]);

  const { decoded, error } = current;
  const possible = run !== undefined && (stored !== undefined || autoencoder !== undefined);
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
