/** @file Making an image or a video, continuing one, and going back to one of the gallery. */

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Engine, ModelCard, Order } from '../engine/engine.ts';
import { packFrames } from '../model/frame.ts';
import type { GalleryEntry } from '../model/gallery.ts';
import { cutBlocks, firstBlocks, type Run, startRun } from '../model/run.ts';
import { defaultSettings, orderOf, ownScale, randomSeed, type Settings } from '../model/settings.ts';
import { withBlocks } from '../model/values.ts';
import { type DecoderProps, type Decoding, useDecoded } from './use-decoded.ts';
import type { GalleryControl } from './use-gallery.ts';
import { useRun } from './use-run.ts';
import { useSettings } from './use-settings.ts';

export interface CreationOptions extends DecoderProps {
  readonly engine: Engine;
  readonly model: ModelCard;
  readonly gallery: GalleryControl;
}

export interface Creation extends Decoding {
  readonly settings: Settings;
  /** The run to show, if it is of this model. */
  readonly run: Run | undefined;
  readonly busy: boolean;
  /** How many blocks of it are to be kept; undefined until it is finished. */
  readonly keep: number | undefined;
  /** The states that an image went through, for a video of its making. */
  readonly history: readonly Run[];
  change(changed: Partial<Settings>): void;
  setKeep(blocks: number): void;
  make(): void;
  stop(): void;
  /** Makes `blocks` blocks with a new seed, keeping the first `kept` of the run. */
  continueFrom(kept: number, blocks: number): void;
}

export function useCreation({ engine, local, autoencoder, model, gallery }: CreationOptions): Creation {
  const [settings, change] = useSettings(() => defaultSettings(model));
  const [keep, setKeep] = useState<number>();
  const history = useRef<Run[]>([]);
  const control = useRun((state) => record(history.current, state));
  const run = control.run?.order.model === model.id ? control.run : undefined;
  /** The entry of the gallery that is shown. */
  const [entry, setEntry] = useState<GalleryEntry>();
  const decoding = useDecoded({ local, autoencoder }, run, entry?.pictures);
  useStoredFrames(entry, decoding, gallery);

  function show(next: GalleryEntry | undefined): void {
    setEntry(next);
    setKeep(next?.config.blocks);
  }

  useEffect(() => {
    const { recalled } = gallery;
    if (recalled?.order.model !== model.id) return;
    const { label, seed, preset = 'exact', ...exact } = recalled.order;
    const { steps, timesteps = 'uniform', cfg = ownScale(model.config) } = exact;
    history.current = [];
    control.show(runOf(recalled));
    change({ label, seed, preset, ...(preset === 'exact' && { steps, timesteps, cfg }) });
    show(recalled);
  }, [gallery.recalled]);

  async function make(order: Order, blocks = model.config.blocks): Promise<void> {
    show(undefined);
    history.current = [];
    const ended = await control.begin(engine, order, withBlocks(model.config, blocks));
    if (ended.status !== 'done') return;
    const made = entryOf(model, ended);
    show(made);
    gallery.add(made);
  }

  function continueFrom(kept: number, blocks: number): void {
    if (!control.run) return;
    const seed = randomSeed();
    change({ seed });
    const longer = blocks === model.config.blocks ? {} : { blocks };
    make({ ...orderOf(model, settings), seed, ...longer, given: firstBlocks(control.run, kept) }, blocks);
  }

  return {
    ...decoding,
    settings,
    run,
    busy: control.busy,
    keep,
    history: history.current,
    change,
    setKeep,
    make: () => make(orderOf(model, settings)),
    stop: control.stop,
    continueFrom,
  };
}

/** Stores the decoded frames with the entry, once all of its blocks are decoded. */
function useStoredFrames(
  entry: GalleryEntry | undefined,
  { decoded }: Decoding,
  gallery: GalleryControl,
): void {
  useEffect(() => {
    if (!entry || entry.pictures || decoded?.blocks !== entry.config.blocks) return;
    packFrames(decoded.frames).then((pictures) => gallery.replace({ ...entry, pictures }));
  }, [decoded, entry]);
}

/** Adds a state of an image, not of a video. */
function record(history: Run[], run: Run): void {
  if (run.status !== 'running' && run.status !== 'done') return;
  if (run.config.frames > 1) return;
  history.push(run);
}

function entryOf(model: ModelCard, run: Run): GalleryEntry {
  const { given: _, ...order } = run.order;
  return {
    id: crypto.randomUUID(),
    time: Date.now(),
    modelTitle: model.title,
    order,
    config: run.config,
    values: firstBlocks(run, run.config.blocks),
  };
}

function runOf({ order, config, values }: GalleryEntry): Run {
  return { ...startRun(order, config), status: 'done', blocks: cutBlocks(config, values) };
}
