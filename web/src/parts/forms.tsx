/** @file Forms that start and stop work, and the fields that they share. */

import type { ComponentChildren } from 'preact';
import type { ModelCard } from '../engine/engine.ts';
import { randomSeed, type Settings } from '../model/settings.ts';
import { ClassPicker } from './ClassPicker.tsx';
import { Choice, Slider } from './fields.tsx';

interface WorkFormProps {
  readonly label: string;
  /** The name of the button that starts the work. */
  readonly start: string;
  readonly busy: boolean;
  readonly disabled?: boolean;
  /** More buttons. */
  readonly more?: ComponentChildren;
  readonly status?: string;
  readonly children: ComponentChildren;
  onStart(): void;
  onStop(): void;
}

/** A form with a button that starts work and one that stops it. */
export function WorkForm({ label, start, busy, disabled, more, status, children, ...props }: WorkFormProps) {
  const { onStart, onStop } = props;
  return (
    <form
      class="panel"
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault();
        onStart();
      }}
    >
      {children}
      <div class="row actions">
        <button type="submit" class="primary" disabled={busy || disabled}>
          {start}
        </button>
        <button type="button" disabled={!busy} onClick={onStop}>
          Stop
        </button>
        {more}
      </div>
      {status && <p role="status">{status}</p>}
    </form>
  );
}

interface SettingsProps {
  readonly model: ModelCard;
  readonly settings: Settings;
  change(changed: Partial<Settings>): void;
}

const SPACINGS = { uniform: 'Evenly spaced', logsnr: 'By noise level' };

/** The class of the model that is to be made. */
export function ClassSetting({ model, settings, change }: SettingsProps) {
  return <ClassPicker model={model} label={settings.label} onChange={(label) => change({ label })} />;
}

/** The preset, for models to which a solver was fitted. */
export function PresetSetting({ model, settings, change }: SettingsProps) {
  if (model.fastSteps === undefined) return null;
  const choices = { fast: `Fast: ${model.fastSteps} steps per block`, exact: 'Exact: choose the steps' };
  return (
    <Choice
      label="Preset"
      value={settings.preset}
      choices={choices}
      onChange={(preset) => change({ preset })}
    />
  );
}

export function StepSettings({ settings, change }: Omit<SettingsProps, 'model'>) {
  return (
    <>
      <Slider
        label="Steps per block"
        value={settings.steps}
        min={1}
        max={50}
        onChange={(steps) => change({ steps })}
      />
      <Choice
        label="Timesteps"
        value={settings.timesteps}
        choices={SPACINGS}
        onChange={(timesteps) => change({ timesteps })}
      />
    </>
  );
}

export function NewSeed({ change }: Pick<SettingsProps, 'change'>) {
  return (
    <button type="button" class="quiet" onClick={() => change({ seed: randomSeed() })}>
      New seed
    </button>
  );
}
