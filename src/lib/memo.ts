/** `made`, but called once for each object that is asked for: the answer is kept for as long as the object is. */
export function memo<K extends object, V extends string | number>(made: (of: K) => V): (of: K) => V {
  const known = new WeakMap<K, V>();
  return (of) => {
    let value = known.get(of);
    if (value === undefined) known.set(of, (value = made(of)));
    return value;
  };
}
