/** Freezes a JSON value and all below it. What is frozen already is taken as frozen all the way down. */
export function deepFreeze<T>(value: T): T {
  if (isLoose(value)) freeze(value);
  return value;
}

const isLoose = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Object.isFrozen(value);

/** Members first: going through a long list is faster while it is not frozen. */
function freeze(value: object): void {
  if (Array.isArray(value)) {
    for (const member of value as readonly unknown[]) if (isLoose(member)) freeze(member);
  } else {
    // Faster than a list of the members, and JSON has none that are inherited.
    for (const key in value) {
      const member: unknown = value[key as never];
      if (isLoose(member)) freeze(member);
    }
  }
  Object.freeze(value);
}
