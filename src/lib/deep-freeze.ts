/** Freezes a JSON value and all below it. What is frozen already is taken as frozen all the way down. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  if (Array.isArray(value)) value.forEach(freezeMember);
  // Faster than a list of the members, and JSON has none that are inherited.
  else for (const key in value) deepFreeze(value[key]);
  return value;
}

const freezeMember = (member: unknown): void => void deepFreeze(member);
