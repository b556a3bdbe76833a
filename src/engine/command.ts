/** Where every graph begins. */
export const START = "__start__";
/** Where every way ends. */
export const END = "__end__";

/**
 * What a conditional edge returns, or a Command goes to, alone or in a list, to have `node` run with `value` as its state: one
 * task each, with its own result and interrupts. `value` is JSON.
 */
export class Send<N extends string = string> {
  constructor(
    readonly node: N,
    readonly value: unknown,
  ) {}
}

/** A node's name, or a `Send` to it; several in a list. */
export type Goto<N extends string = string> = N | Send<N> | readonly (N | Send<N>)[];

/** What a node returns to say where to go next: `goto` replaces the node's edges for this visit. */
export class Command<U = Record<string, unknown>, N extends string = string> {
  readonly update: U | undefined;
  readonly goto: Goto<N> | undefined;

  constructor(of: { update?: U; goto?: Goto<N> }) {
    this.update = of.update;
    this.goto = of.goto;
  }
}
