/**
 * `list` with a member more: itself, or a new one where it is empty. An empty list that is pushed to gets room for 17 members,
 * and most lists here have one.
 */
export function grown<T>(list: T[], member: T): T[] {
  if (list.length === 0) return [member];
  list.push(member);
  return list;
}
