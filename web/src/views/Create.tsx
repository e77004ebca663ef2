/** @file Making an image or a video: what to make, watching it arise, and continuing it from any block. */

import { useMemo } from 'preact/hooks';
import { attentionOf } from '../../../src/models/acdit/attention.ts';
import type { ModelCard } from '../engine/engine.ts';
import { startRun } from '../model/run.ts';
import { orderOf, SEEDS } from '../model/settings.ts';
import { AttentionPlan } from '../parts/AttentionPlan.tsx';
import { className } from '../parts/ClassPicker.tsx';
import { NumberField, Slider } from '../parts/fields.tsx';
import { ClassSetting, NewSeed, PresetSetting, StepSettings, WorkForm } from '../parts/forms.tsx';
import { KeepBlocks } from '../parts/KeepBlocks.tsx';
import { Results } from '../parts/Results.tsx';
import { Stage } from '../parts/Stage.tsx';
import { Status } from '../parts/Status.tsx';
import { type Creation, type CreationOptions, useCreation } from './use-creation.ts';

export function Create(options: CreationOptions) {
  const { model, local } = options;
  const creation = useCreation(options);
  const { settings, run, busy, decoded, keep, setKeep } = creation;
  const empty = useMemo(() => startRun(orderOf(model, settings), model.config), [model]);
  return (
    <div class="create">
      <CreateForm model={model} creation={creation} />
      <section class="making" aria-label="The image">
        <Stage
          decoded={decoded}
          run={run ?? empty}
          label={run ? `${className(model, run.order.label)}, seed ${run.order.seed}` : 'Nothing made yet'}
          keep={busy ? undefined : keep}
          onKeep={setKeep}
        >
          {!run && <Introduction model={model} />}
        </Stage>
        <Status run={run} note={creation.note} />
      </section>
      <section class="beside" aria-label="Plan and result">
        <h2>What each block attends to</h2>
        <AttentionPlan
          model={{ ...(run ?? empty).config, window: Math.max(1, model.config.blocks - 1) }}
          current={busy && run ? (run.live?.block ?? run.given) : undefined}
        />
        {run?.status === 'done' && (
          <>
            <KeepBlocks
              run={run}
              model={model}
              keep={keep ?? run.config.blocks}
              onKeep={setKeep}
              onContinue={creation.continueFrom}
            />
            <Results
              {...{ run, model, local, decoded }}
              history={creation.history}
              pending={creation.pending}
            />
          </>
        )}
      </section>
    </div>
  );
}

/** What a first visitor has to know, in the place of the first image. */
function Introduction({ model }: { readonly model: ModelCard }) {
  const isVideo = model.config.frames > 1;
  const order = attentionOf(model.config).together ? 'all at once' : 'one after the other';
  const where =
    model.source === 'server' ? 'on the server' : 'in this browser, and nothing leaves your device';
  return (
    <p class="introduction">
      Choose a class, then make {isVideo ? 'a video' : 'an image'}. The model draws it in{' '}
      {model.config.blocks} blocks, {order}, each out of noise. It runs {where}.
    </p>
  );
}

function CreateForm({ model, creation }: { readonly model: ModelCard; readonly creation: Creation }) {
  const { settings, change } = creation;
  return (
    <WorkForm
      label="What to make"
      start={model.config.frames > 1 ? 'Make a video' : 'Make an image'}
      busy={creation.busy}
      onStart={creation.make}
      onStop={creation.stop}
    >
      <ClassSetting {...{ model, settings, change }} />
      <PresetSetting {...{ model, settings, change }} />
      {settings.preset === 'exact' && (
        <>
          <StepSettings {...{ settings, change }} />
          <Slider
            label="Guidance"
            value={settings.cfg}
            min={0}
            max={6}
            step={0.1}
            onChange={(cfg) => change({ cfg })}
          />
        </>
      )}
      <div class="row">
        <NumberField
          label="Seed"
          value={settings.seed}
          min={0}
          max={SEEDS - 1}
          onChange={(seed) => change({ seed })}
        />
        <NewSeed change={change} />
      </div>
    </WorkForm>
  );
}
