import type { Ask, Interrupt, Task } from "../engine/index.js";

const NAMES: Readonly<Partial<Record<Ask["kind"], string>>> = {
  request: "ctx.interrupt",
  manual: "setInterrupt",
};

const isCounted = ({ key }: Pick<Ask, "key">): boolean => key.startsWith("#");

/**
 * Why a call without a key is not the one that its place in the order of calls says, or null. Words that merely changed
 * (a patch changed what they are made of) are no fault; words that another call had are. `said` is what this attempt asked
 * so far.
 */
export function orderFault(
  task: Task,
  ask: Ask,
  rows: readonly Interrupt[],
  said: readonly Ask[],
): string | null {
  if (!isCounted(ask)) return null;
  // The newest row of a key counts.
  const stored = new Map(
    rows.filter((row) => row.taskId === task.id && isCounted(row)).map((row) => [row.key, row]),
  );
  const own = stored.get(ask.key);
  if (own !== undefined && own.kind !== ask.kind)
    return `${words(ask)} is call ${place(ask)} of ${task.node} now, and was ${words(own)} when it was answered: ${ADVICE}`;
  if (own?.message === ask.message) return null;
  for (const other of stored.values()) {
    if (other.key === ask.key || other.message !== ask.message) continue;
    // Where it was asked in this attempt too, this is another call of the same words.
    if (own === undefined && said.some(({ key, message }) => key === other.key && message === ask.message))
      continue;
    const was = own ?? other;
    const now = own === undefined ? said.find(({ key }) => key === other.key) : ask;
    if (now === undefined) continue;
    return `${words(now)} is call ${place(now)} of ${task.node} now, and was ${words(was)} when it was answered: ${ADVICE}`;
  }
  return null;
}

const ADVICE = "the order of its calls has changed; give each of them a `key`";

const place = ({ key }: Ask): number => Number(key.slice(1)) + 1;

const words = ({ kind, message }: Pick<Ask, "kind" | "message">): string =>
  `${NAMES[kind] ?? kind} ${JSON.stringify(message)}`;
