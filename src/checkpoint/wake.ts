/** Names a thread. The tenant leads in every key. */
export interface ThreadRef {
  readonly tenant: string;
  readonly threadId: string;
}

/** A hint from another process that something changed; never the truth. */
export type Wake =
  /** Something was committed. */
  | { readonly kind: "thread"; readonly ref: ThreadRef }
  /** Something happened in a step that is not committed yet. */
  | { readonly kind: "live"; readonly ref: ThreadRef }
  /** A stop was requested of its run. */
  | { readonly kind: "stop"; readonly ref: ThreadRef }
  /** A run waits to be claimed. */
  | { readonly kind: "work" }
  /** Interrupts opened, or were decided. */
  | { readonly kind: "inbox" }
  /** Hints may have been lost, or will be: look at everything. */
  | { readonly kind: "rescan" };
