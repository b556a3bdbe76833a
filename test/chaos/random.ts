/** Choices that come again with the same seed, as far as what happens in between lets them. */
export class Random {
  #state: number;

  constructor(readonly seed: string) {
    // FNV-1a: near seeds give far states.
    let hash = 0x811c9dc5;
    for (const sign of seed) hash = Math.imul(hash ^ (sign.codePointAt(0) ?? 0), 0x01000193);
    this.#state = hash >>> 0;
  }

  /** One whose choices do not depend on how often others choose. */
  fork(name: string): Random {
    return new Random(`${this.seed}/${name}`);
  }

  /** From 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(of: number): boolean {
    return this.next() < of;
  }

  /** From `least` to `most`, both among them. */
  whole(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  pick<T>(from: readonly T[]): T {
    const one = from[Math.floor(this.next() * from.length)];
    if (one === undefined) throw new Error("there is nothing to pick from");
    return one;
  }

  /** Weights need not sum up to 1. */
  weighted<T extends string>(of: Readonly<Record<T, number>>): T {
    const entries = Object.entries(of) as [T, number][];
    let rest = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [name, weight] of entries) {
      rest -= weight;
      if (rest < 0) return name;
    }
    return entries[entries.length - 1]?.[0] as T;
  }
}
