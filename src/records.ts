/** @file Changes to plain objects. */

export function mapValues<Value, Result, Name extends string = string>(
  values: Readonly<Record<Name, Value>>,
  change: (value: Value, name: string) => Result,
): Record<Name, Result> {
  const changed = Object.entries<Value>(values).map(([name, value]) => [name, change(value, name)]);
  return Object.fromEntries(changed);
}

export function filterKeys<Value>(
  values: Readonly<Record<string, Value>>,
  keep: (name: string) => boolean,
): Record<string, Value> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => keep(name)));
}

type Defined<T> = { [Name in keyof T]?: Exclude<T[Name], undefined> };

/** Returns the fields that have a value. */
export function defined<T extends object>(fields: T): Defined<T> {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Defined<T>;
}
