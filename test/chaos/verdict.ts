/** What the checks say. */
export type Check =
  | "accepted run lost"
  | "request done twice"
  | "dropped without a stop"
  | "accepted answer lost"
  | "accepted stop lost"
  | "left active"
  | "step committed twice"
  | "step lost"
  | "task committed twice"
  | "commit without work"
  | "wrong way"
  | "effect repeated"
  | "effect of another attempt"
  | "acted without approval"
  | "events out of order"
  | "terminal event"
  | "event missed"
  | "event invented"
  | "reading not over";

export interface Fault {
  readonly check: Check;
  readonly thread: string;
  readonly text: string;
}

/** Effects that were made twice because nobody could know of the first: its process was gone between effect and record. */
export interface Doubts {
  killed: number;
  frozen: number;
  /** It lost its lease to a machine that was too busy, after it had made the effect. */
  late: number;
}

export interface Verdict {
  readonly faults: readonly Fault[];
  readonly doubts: Doubts;
}

export const fault = (check: Check, thread: string, text: string): Fault => ({ check, thread, text });

/** Lists by a key, in the order given. */
export function groupBy<T>(items: Iterable<T>, key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
