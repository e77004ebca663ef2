/** @file Chooses a class: by its image if there are few, else by name or number. */

import { useState } from 'preact/hooks';
import { requireClass } from '../../../src/models/acdit/class-names.ts';
import type { ModelCard } from '../engine/engine.ts';

/** Classes shown as buttons; with more there is a field with suggestions. */
const MAX_BUTTONS = 24;
/** Pixels above which the image of a class is shown larger, and smoothly. */
const FINE = 40;

interface ClassPickerProps {
  readonly model: ModelCard;
  readonly label: number;
  onChange(label: number): void;
}

export function className({ config }: Pick<ModelCard, 'config'>, label: number): string {
  if (label === config.classes) return 'no class';
  return config.classNames?.[label] ?? `class ${label}`;
}

export function ClassPicker({ model, label, onChange }: ClassPickerProps) {
  const { classes } = model.config;
  if (classes > MAX_BUTTONS) return <ClassField {...{ model, label, onChange }} />;
  return (
    <fieldset class="classes">
      <legend>Class</legend>
      {Array.from({ length: classes }, (_, index) => (
        <label key={index} class="class-card">
          <input
            type="radio"
            name="class"
            value={index}
            checked={index === label}
            onChange={() => onChange(index)}
          />
          {model.classImages && (
            <span
              class={`thumb ${model.config.width > FINE ? 'fine' : ''}`}
              style={{
                backgroundImage: `url(${model.classImages})`,
                backgroundSize: `${classes * 100}% 100%`,
                backgroundPosition: `${classes > 1 ? (index * 100) / (classes - 1) : 0}% 0`,
              }}
            />
          )}
          <span>{className(model, index)}</span>
        </label>
      ))}
    </fieldset>
  );
}

function ClassField({ model, label, onChange }: ClassPickerProps) {
  const [note, setNote] = useState('');
  const names = Array.from({ length: model.config.classes }, (_, index) => className(model, index));
  /** An unreadable text is marked as invalid, so that the previous class is not used for it. */
  const read = (input: HTMLInputElement): void => {
    try {
      const chosen = requireClass(model.config, input.value);
      input.setCustomValidity('');
      setNote(chosen.note ?? '');
      onChange(chosen.label);
    } catch (error) {
      setNote('');
      input.setCustomValidity((error as Error).message);
    }
  };
  return (
    <label class="field">
      <span>Class, by name or number</span>
      <input
        list="class-names"
        defaultValue={className(model, label)}
        onInput={(event) => read(event.currentTarget)}
        onChange={(event) => event.currentTarget.reportValidity()}
      />
      <datalist id="class-names">
        {[...new Set(names)].map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {note && <small role="status">{note}</small>}
    </label>
  );
}
