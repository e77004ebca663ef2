/** @file Side by side: one seed and class, and the picture divided into more or fewer blocks. */

import { useState } from 'preact/hooks';
import type { Engine, ModelCard } from '../engine/engine.ts';
import { arLengths, withArLength } from '../model/ar-lengths.ts';
import { paintFrames } from '../model/painting.ts';
import type { Run } from '../model/run.ts';
import { defaultSettings, orderOf, randomSeed, type Settings } from '../model/settings.ts';
import { AttentionPlan } from '../parts/AttentionPlan.tsx';
import { ClassPicker, className } from '../parts/ClassPicker.tsx';
import { Slider } from '../parts/fields.tsx';
import { Picture } from '../parts/Picture.tsx';
import { Status } from '../parts/Status.tsx';
import { type DecoderProps, useDecoded } from './use-decoded.ts';
import { useRun } from './use-run.ts';

interface CompareProps extends DecoderProps {
  readonly engine: Engine;
  readonly model: ModelCard;
}

export function Compare({ engine, model, ...decoder }: CompareProps) {
  const [settings, setSettings] = useState<Settings>(() => ({ ...defaultSettings(model), steps: 10 }));
  const [runs, setRuns] = useState<ReadonlyMap<number, Run>>(new Map());
  const lengths = engine.kind === 'local' ? arLengths(model.config) : [model.config.blocks];
  const [chosen, setChosen] = useState<readonly number[]>(() => lengths.slice(0, 3));
  const control = useRun();
  const [busy, setBusy] = useState(false);
  const change = (changed: Partial<Settings>): void => setSettings((now) => ({ ...now, ...changed }));

  async function compare(): Promise<void> {
    setBusy(true);
    setRuns(new Map());
    for (const length of chosen) {
      const own = length === model.config.blocks ? {} : { arLength: length };
      const order = { ...orderOf(model, settings), ...own };
      const ended = await control.begin(engine, order, withArLength(model.config, length));
      setRuns((now) => new Map(now).set(length, ended));
      if (ended.status === 'stopped') break;
    }
    setBusy(false);
  }

  const present = control.run;
  const runOf = (length: number): Run | undefined =>
    runs.get(length) ?? (busy && present?.config.blocks === length ? present : undefined);
  return (
    <div class="compare">
      <form
        class="panel"
        aria-label="What to compare"
        onSubmit={(event) => {
          event.preventDefault();
          compare();
        }}
      >
        <p class="hint">
          The same weights, class and seed, with the picture divided into more or fewer blocks. This model was
          trained with {model.config.blocks}; other numbers show what the division does, not what it could do.
        </p>
        <fieldset>
          <legend>Blocks</legend>
          {lengths.map((length) => (
            <label key={length} class="check">
              <input
                type="checkbox"
                checked={chosen.includes(length)}
                onChange={({ currentTarget: { checked } }) =>
                  setChosen(lengths.filter((other) => (other === length ? checked : chosen.includes(other))))
                }
              />
              {length}
              {length === model.config.blocks && ' (trained)'}
            </label>
          ))}
        </fieldset>
        <ClassPicker model={model} label={settings.label} onChange={(label) => change({ label })} />
        <Slider
          label="Steps a block"
          value={settings.steps}
          min={1}
          max={50}
          onChange={(steps) => change({ steps })}
        />
        <div class="row">
          <button type="submit" class="primary" disabled={busy || chosen.length === 0}>
            Compare
          </button>
          <button type="button" disabled={!busy} onClick={control.stop}>
            Stop
          </button>
          <button type="button" class="quiet" onClick={() => change({ seed: randomSeed() })}>
            New seed
          </button>
        </div>
      </form>
      <div class="columns">
        {chosen.map((length) => (
          <Column key={length} length={length} model={model} run={runOf(length)} {...decoder} />
        ))}
      </div>
    </div>
  );
}

interface ColumnProps extends DecoderProps {
  readonly length: number;
  readonly model: ModelCard;
  readonly run: Run | undefined;
}

function Column({ length, model, run, ...decoder }: ColumnProps) {
  const { decoded, note } = useDecoded(decoder, run);
  const frames = run ? paintFrames(run.config, run.blocks, run.live, decoded) : [];
  const running = run?.status === 'running';
  return (
    <section class="column" aria-label={`${length} blocks`}>
      <h2>{length === 1 ? '1 block' : `${length} blocks`}</h2>
      <div class="frame" style={{ aspectRatio: `${model.config.width} / ${model.config.height}` }}>
        <Picture
          frames={frames}
          label={
            run
              ? `${className(model, run.order.label)} in ${length} blocks`
              : `Nothing yet in ${length} blocks`
          }
          playing
        />
      </div>
      <Status run={run} note={note} />
      <AttentionPlan blocks={length} current={running ? (run.live?.block ?? 0) : undefined} />
    </section>
  );
}
