/** Any value, for people: JSON where it has one. Never throws, whatever it is given. */
export function show(value: unknown): string {
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
