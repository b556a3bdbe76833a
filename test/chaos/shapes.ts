/** What the visits of one whole way through a graph of the load are, from a start to an end. */

/** How often each node was visited. */
export type Visits = Readonly<Record<string, number>>;

const exactly = (...allowed: readonly Visits[]): ((visits: Visits) => boolean) => {
  const name = (visits: Visits): string => JSON.stringify(Object.entries(visits).sort());
  const names = new Set(allowed.map(name));
  return (visits) => names.has(name(visits));
};

/** Two instances of which each was denied or went through. */
function nested(visits: Visits): boolean {
  const { SPLIT = 0, CHECK = 0, ACT = 0, DONE = 0, JOIN = 0 } = visits;
  return SPLIT === 1 && CHECK === 2 && ACT <= 2 && DONE === ACT && JOIN === (ACT > 0 ? 1 : 0);
}

/** By graph; a denial leaves out what it denies. */
export const SHAPES: Readonly<Record<string, (visits: Visits) => boolean>> = {
  line: exactly({ A: 1, B: 1, C: 1 }),
  fan: exactly({ SPLIT: 1, WORK: 4, JOIN: 1 }),
  pay: exactly({ PREPARE: 1, PAY: 1, TELL: 1 }, { PREPARE: 1, REFUSED: 1 }),
  ask: exactly({ ASK: 1, TELL: 1 }, {}),
  nested,
  loop: exactly({ RESET: 1, STEP: 6 }),
  slow: exactly({ HEEDS: 1, DEAF: 1, LAST: 1 }),
  flaky: exactly({ FAILS: 1, LAST: 1 }),
};
