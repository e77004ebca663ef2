/** @file Fields for numbers. */

interface NumberFieldProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  onChange(value: number): void;
}

/** A slider that shows its value. */
export function Slider({ label, value, min, max, step = 1, onChange }: NumberFieldProps) {
  return (
    <label class="field slider">
      <span>
        {label} <b>{value}</b>
      </span>
      <input
        type="range"
        {...{ min, max, step, value }}
        onInput={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

/** A field that offers a few choices, each with the text that names it. */
export function Choice<T extends string>({
  label,
  value,
  choices,
  onChange,
}: {
  readonly label: string;
  readonly value: T;
  readonly choices: Readonly<Record<T, string>>;
  onChange(value: T): void;
}) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {Object.entries<string>(choices).map(([choice, text]) => (
          <option key={choice} value={choice}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** A field for an integer; other input is not taken. */
export function NumberField({ label, value, min, max, onChange }: NumberFieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="number"
        inputMode="numeric"
        step={1}
        {...{ min, max, value }}
        onChange={(event) => {
          const number = event.currentTarget.valueAsNumber;
          if (Number.isInteger(number) && number >= min && number <= max) onChange(number);
          else event.currentTarget.value = String(value);
        }}
      />
    </label>
  );
}
