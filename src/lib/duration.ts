const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNITS;

/** "24h", "90s", "500ms", "1.5d", or a number of milliseconds. */
export type Duration = `${number}${Unit}` | number;

/** Beyond a hundred years a time is no time any more. */
const MOST = 100 * 366 * UNITS.d;

/** Milliseconds, a whole number above zero; null where it is no duration. */
export function durationMs(of: unknown): number | null {
  let ms: number;
  if (typeof of === "number") ms = of;
  else {
    const found = typeof of === "string" ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(of) : null;
    if (found === null) return null;
    ms = Number(found[1]) * UNITS[found[2] as Unit];
  }
  const whole = Math.round(ms);
  return whole >= 1 && whole <= MOST ? whole : null;
}
