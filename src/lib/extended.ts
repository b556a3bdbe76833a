/**
 * `{ ...base, ...more }`, for what is made often, of names of ours (a member `__proto__` would be lost). Behind a spread, a
 * literal makes a hidden class of its own for each member that it adds, each time (V8 of Node 20): 0.7 µs instead of 0.15, and
 * whoever reads such objects meets a new class with each. In a literal, members that `base` has not got go in front of the
 * spread instead.
 */
export const extended = <A extends object, B extends object>(base: A, more: B): A & B =>
  Object.assign({}, base, more);
