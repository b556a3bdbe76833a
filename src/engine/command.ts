/** Where every graph begins. */
export const START = "__start__";
/** Where every way ends. */
export const END = "__end__";

/** What a node returns to say where to go next: `goto` replaces the node's edges for this visit. */
export class Command<U = Record<string, unknown>, N extends string = string> {
  readonly update: U | undefined;
  readonly goto: N | readonly N[] | undefined;

  constructor(of: { update?: U; goto?: N | readonly N[] }) {
    this.update = of.update;
    this.goto = of.goto;
  }
}

/**
 * What a conditional edge returns, alone or in a list, to have `node` run with `value` as its state: one task each, with its
 * own result and interrupts. `value` is JSON.
 */
export class Send<N extends string = string> {
  constructor(
    readonly node: N,
    readonly value: unknown,
  ) {}
}
