/** Any value, for people: JSON where it has one. Never throws, whatever it is given. */
export function show(value: unknown): string {
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json ?? String(value);
  } catch {
    return `a value of type ${typeof value} that cannot be shown`;
  }
}

/** What was thrown, for people: anything may be, also what throws when it is looked at. */
export function errorText(error: unknown): string {
  if (typeof error === "string") return error;
  if (!isInstance(error, Error)) return `threw ${show(error)}`;
  try {
    return error.message === "" ? error.name : error.message;
  } catch {
    return "an error that cannot be shown";
  }
}

/** `instanceof` that a hostile Proxy cannot make throw. */
export function isInstance<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}
