import { decodeCursor, encodeCursor, type CursorPart, type Page, type PageRequest } from "../checkpointer.js";

/** One page of `items` by their sort key, as an ordered index would give it. */
export function paginate<T>(
  items: T[],
  page: PageRequest,
  direction: 1 | -1,
  shape: readonly CursorPart[],
  sortKey: (item: T) => (string | number)[],
): Page<T> {
  const compare = (a: (string | number)[], b: (string | number)[]): number => {
    for (const [i, part] of a.entries()) {
      const other = b[i] ?? "";
      if (part !== other) return (part < other ? -1 : 1) * direction;
    }
    return 0;
  };
  const after = decodeCursor(page.cursor, shape);
  const rest = items
    .map((item) => ({ item, key: sortKey(item) }))
    .filter(({ key }) => after === null || compare(key, after) > 0)
    .sort((a, b) => compare(a.key, b.key));
  const taken = rest.slice(0, page.limit);
  const last = taken.at(-1);
  return {
    items: taken.map(({ item }) => item),
    next: rest.length > page.limit && last !== undefined ? encodeCursor(last.key) : null,
  };
}
