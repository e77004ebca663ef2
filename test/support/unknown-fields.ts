/** @file Finds fields that a compiled JSON schema does not have, though it would accept them. */

/**
 * Runs a validator that looks at each field it has, and returns the paths of those that it did not look at, with the
 * outermost only.
 */
export function unknownFields(value: object, validate: (observed: object) => void): string[] {
  const seen = new Map<object, Set<string>>();
  const observe = <T>(part: T): T => {
    if (typeof part !== 'object' || part === null) return part;
    const keys = seen.get(part) ?? new Set();
    seen.set(part, keys);
    return new Proxy(part, {
      get(target, key) {
        if (typeof key === 'string') keys.add(key);
        return observe(Reflect.get(target, key));
      },
    });
  };
  validate(observe(value));
  const unread = (part: unknown, path: string): string[] =>
    typeof part !== 'object' || part === null
      ? []
      : Object.entries(part).flatMap(([key, child]) =>
          seen.get(part)?.has(key) ? unread(child, `${path}/${key}`) : [`${path}/${key}`],
        );
  return unread(value, '');
}
