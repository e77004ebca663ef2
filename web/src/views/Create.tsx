/** @file Making a picture or a clip: what to make, watching it arise, and going on from any block of it. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Engine, ModelCard, Order } from '../engine/engine.ts';
import { packFrames } from '../model/frame.ts';
import type { Keepsake } from '../model/gallery.ts';
import { cutBlocks, firstBlocks, type Run, startRun } from '../model/run.ts';
import { defaultSettings, orderOf, randomSeed, SEEDS, type Settings } from '../model/settings.ts';
import { AttentionPlan } from '../parts/AttentionPlan.tsx';
import { ClassPicker, className } from '../parts/ClassPicker.tsx';
import { NumberField, Slider } from '../parts/fields.tsx';
import { KeepBlocks } from '../parts/KeepBlocks.tsx';
import { Results } from '../parts/Results.tsx';
import { Stage } from '../parts/Stage.tsx';
import { Status } from '../parts/Status.tsx';
import { type DecoderProps, useDecoded } from './use-decoded.ts';
import { useRun } from './use-run.ts';

interface CreateProps extends DecoderProps {
  readonly engine: Engine;
  readonly model: ModelCard;
  /** What to show, chosen in the gallery. */
  readonly recalled: Keepsake | undefined;
  onKept(keepsake: Keepsake): void;
  /** What was kept has its decoded pictures now. */
  onDecoded(keepsake: Keepsake): void;
}

export function Create({ engine, local, autoencoder, model, recalled, onKept, onDecoded }: CreateProps) {
  const [settings, setSettings] = useState<Settings>(() => defaultSettings(model));
  const [keep, setKeep] = useState<number>();
  const history = useRef<Run[]>([]);
  const control = useRun((run) => record(history.current, run));
  const { run, busy } = control;
  const change = (changed: Partial<Settings>): void => setSettings((now) => ({ ...now, ...changed }));

  /** What the picture that is shown is kept as. */
  const [keepsake, setKeepsake] = useState<Keepsake>();
  const shown = run?.order.model === model.id ? run : undefined;
  const { decoded, pending, note } = useDecoded({ local, autoencoder }, shown, keepsake?.pictures);

  useEffect(() => {
    if (!keepsake || keepsake.pictures || decoded?.blocks !== keepsake.config.blocks) return;
    packFrames(decoded.frames).then((pictures) => onDecoded({ ...keepsake, pictures }));
  }, [decoded, keepsake]);

  useEffect(() => {
    if (!recalled) return;
    setKeepsake(recalled);
    control.show(runOf(recalled));
    const { label, steps, cfg, seed } = recalled.order;
    setSettings({ label, steps, cfg, seed });
    setKeep(recalled.config.blocks);
    history.current = [];
  }, [recalled]);

  async function make(order: Order, blocks = model.config.blocks): Promise<void> {
    setKeep(undefined);
    setKeepsake(undefined);
    history.current = [];
    const { config: own } = model;
    const config =
      blocks === own.blocks ? own : { ...own, blocks, frames: (own.frames * blocks) / own.blocks };
    const ended = await control.begin(engine, order, config);
    if (ended.status !== 'done') return;
    setKeep(blocks);
    const made = keepsakeOf(model, ended);
    setKeepsake(made);
    onKept(made);
  }

  function goOn(kept: number, blocks: number): void {
    if (!run) return;
    const seed = randomSeed();
    change({ seed });
    const longer = blocks === model.config.blocks ? {} : { blocks };
    make({ ...orderOf(model, settings), seed, ...longer, given: firstBlocks(run, kept) }, blocks);
  }

  const empty = useMemo(() => startRun(orderOf(model, settings), model.config), [model]);
  return (
    <div class="create">
      <form
        class="panel"
        aria-label="What to make"
        onSubmit={(event) => {
          event.preventDefault();
          make(orderOf(model, settings));
        }}
      >
        <ClassPicker model={model} label={settings.label} onChange={(label) => change({ label })} />
        <Slider
          label="Steps a block"
          value={settings.steps}
          min={1}
          max={50}
          onChange={(steps) => change({ steps })}
        />
        <Slider
          label="Guidance"
          value={settings.cfg}
          min={0}
          max={6}
          step={0.1}
          onChange={(cfg) => change({ cfg })}
        />
        <div class="row">
          <NumberField
            label="Seed"
            value={settings.seed}
            min={0}
            max={SEEDS - 1}
            onChange={(seed) => change({ seed })}
          />
          <button type="button" class="quiet" onClick={() => change({ seed: randomSeed() })}>
            New seed
          </button>
        </div>
        <div class="row">
          <button type="submit" class="primary" disabled={busy}>
            {model.config.frames > 1 ? 'Make a clip' : 'Make a picture'}
          </button>
          <button type="button" disabled={!busy} onClick={control.stop}>
            Stop
          </button>
        </div>
      </form>
      <section class="making" aria-label="The picture">
        <Stage
          decoded={decoded}
          run={shown ?? empty}
          label={
            shown ? `${className(model, shown.order.label)}, seed ${shown.order.seed}` : 'Nothing is made yet'
          }
          keep={shown && !busy ? keep : undefined}
          onKeep={setKeep}
        />
        <Status run={shown} note={note} />
      </section>
      <section class="beside" aria-label="Plan and result">
        <h2>Who attends whom</h2>
        <AttentionPlan
          blocks={(shown ?? empty).config.blocks}
          current={busy && shown ? (shown.live?.block ?? shown.given) : undefined}
        />
        {shown?.status === 'done' && (
          <>
            <KeepBlocks
              run={shown}
              model={model}
              keep={keep ?? shown.config.blocks}
              onKeep={setKeep}
              onGoOn={goOn}
            />
            <Results
              run={shown}
              model={model}
              local={local}
              history={history.current}
              decoded={decoded}
              pending={pending}
            />
          </>
        )}
      </section>
    </div>
  );
}

/** The picture's way so far, for a film of it. */
function record(history: Run[], run: Run): void {
  if (run.status !== 'running' && run.status !== 'done') return;
  if (run.config.frames > 1) return;
  history.push(run);
}

function keepsakeOf(model: ModelCard, run: Run): Keepsake {
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

function runOf({ order, config, values }: Keepsake): Run {
  return { ...startRun(order, config), status: 'done', blocks: cutBlocks(config, values) };
}
