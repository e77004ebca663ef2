/** @file Choosing a class: by its picture where there are few, else by name or number. */

import type { ModelCard } from '../engine/engine.ts';

/** Classes shown as buttons; with more there is a field with suggestions. */
const MOST_BUTTONS = 24;

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
  if (classes > MOST_BUTTONS) return <ClassField {...{ model, label, onChange }} />;
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
          {model.classPictures && (
            <span
              class="thumb"
              style={{
                backgroundImage: `url(${model.classPictures})`,
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
  const names = Array.from({ length: model.config.classes }, (_, index) => className(model, index));
  const read = (text: string): void => {
    const found = names.findIndex((name) => name.toLowerCase() === text.trim().toLowerCase());
    const number = found >= 0 ? found : Number(text);
    if (text.trim() !== '' && Number.isInteger(number) && number >= 0 && number <= names.length)
      onChange(number);
  };
  return (
    <label class="field">
      <span>Class, by name or number</span>
      <input
        list="class-names"
        defaultValue={names[label]}
        onChange={(event) => read(event.currentTarget.value)}
      />
      <datalist id="class-names">
        {names.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
    </label>
  );
}
