/** @file Side by side: one seed and class, and the image divided into more or fewer blocks. */

import { useState } from 'preact/hooks';
import type { Engine, ModelCard } from '../engine/engine.ts';
import { arLengths, withArLength } from '../model/ar-lengths.ts';
import { paintFrames } from '../model/painting.ts';
import type { Run } from '../model/run.ts';
import { defaultSettings, orderOf, type Settings } from '../model/settings.ts';
import { AttentionPlan } from '../parts/AttentionPlan.tsx';
import { className } from '../parts/ClassPicker.tsx';
import { FrameCanvas } from '../parts/FrameCanvas.tsx';
import { ClassSetting, NewSeed, StepSettings, WorkForm } from '../parts/forms.tsx';
import { frameShape } from '../parts/Stage.tsx';
import { Status } from '../parts/Status.tsx';
import { type DecoderProps, useDecoded } from './use-decoded.ts';
import { useRun } from './use-run.ts';
import { useSettings } from './use-settings.ts';

interface CompareProps extends DecoderProps {
  readonly engine: Engine;
  readonly model: ModelCard;
}

export function Compare({ engine, model, ...decoder }: CompareProps) {
  const [settings, change] = useSettings(() => ({
    ...defaultSettings(model),
    preset: 'exact',
    steps: 10,
  }));
  const lengths = arLengths(model.config);
  const [chosen, setChosen] = useState<readonly number[]>(() => lengths.slice(0, 3));
  const comparison = useComparison(engine, model);
  return (
    <div class="compare">
      <WorkForm
        label="What to compare"
        start="Compare"
        busy={comparison.busy}
        disabled={chosen.length === 0}
        more={<NewSeed change={change} />}
        onStart={() => comparison.begin(settings, chosen)}
        onStop={comparison.stop}
      >
        <p class="hint">
          The same weights, class and seed, with the image divided into more or fewer blocks. This model was
          trained with {model.config.blocks}; other numbers show what the division does, not what it could do.
        </p>
        <LengthBoxes lengths={lengths} chosen={chosen} trained={model.config.blocks} onChange={setChosen} />
        <ClassSetting {...{ model, settings, change }} />
        <StepSettings {...{ settings, change }} />
      </WorkForm>
      <div class="columns">
        {chosen.map((length) => (
          <Column key={length} length={length} model={model} run={comparison.runOf(length)} {...decoder} />
        ))}
      </div>
    </div>
  );
}

/** Runs of one order at several autoregressive lengths, one after the other. */
function useComparison(engine: Engine, model: ModelCard) {
  const [runs, setRuns] = useState<ReadonlyMap<number, Run>>(new Map());
  const [busy, setBusy] = useState(false);
  const { run: current, begin: beginRun, stop } = useRun();

  async function begin(settings: Settings, lengths: readonly number[]): Promise<void> {
    setBusy(true);
    setRuns(new Map());
    for (const length of lengths) {
      const own = length === model.config.blocks ? {} : { arLength: length };
      const order = { ...orderOf(model, settings), ...own };
      const ended = await beginRun(engine, order, withArLength(model.config, length));
      setRuns((now) => new Map(now).set(length, ended));
      if (ended.status === 'stopped') break;
    }
    setBusy(false);
  }

  const runOf = (length: number): Run | undefined =>
    runs.get(length) ?? (busy && current?.config.blocks === length ? current : undefined);
  return { busy, begin, stop, runOf };
}

interface LengthBoxesProps {
  readonly lengths: readonly number[];
  readonly chosen: readonly number[];
  /** The length that the model was trained with. */
  readonly trained: number;
  onChange(chosen: readonly number[]): void;
}

function LengthBoxes({ lengths, chosen, trained, onChange }: LengthBoxesProps) {
  const toggle = (length: number, checked: boolean): void =>
    onChange(lengths.filter((other) => (other === length ? checked : chosen.includes(other))));
  return (
    <fieldset>
      <legend>Blocks</legend>
      {lengths.map((length) => (
        <label key={length} class="check">
          <input
            type="checkbox"
            checked={chosen.includes(length)}
            onChange={({ currentTarget }) => toggle(length, currentTarget.checked)}
          />
          {length}
          {length === trained && ' (trained)'}
        </label>
      ))}
    </fieldset>
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
      <div class="frame" style={frameShape(model.config)}>
        <FrameCanvas
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
      <AttentionPlan
        model={{ ...model.config, blocks: length }}
        current={running ? (run.live?.block ?? 0) : undefined}
      />
    </section>
  );
}
