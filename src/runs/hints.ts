import type { Checkpointer, ThreadRef } from "../checkpoint/checkpointer.js";
import type { StopRegistry } from "./run-control.js";
import { threadKey } from "./thread-key.js";

/** Milliseconds between two looks that hints ask for, at the least: they come in swarms. */
const HINT_GAP_MS = 20;

export interface HintsDeps {
  readonly checkpointer: Checkpointer;
  readonly registry: StopRegistry;
  /** A heartbeat: sets what the database says right with what executes here, and looks for work. */
  readonly beat: () => void;
  /** Looks for runs that wait. */
  readonly look: () => void;
}

/** What a worker does when it hears that another process changed something. A hint may be wrong; the rows are the truth. */
export class Hints {
  readonly #deps: HintsDeps;
  #asked: "beat" | "look" | null = null;
  #actedAt = 0;

  constructor(deps: HintsDeps) {
    this.#deps = deps;
  }

  /** A run waits to be claimed. */
  work(): void {
    this.#ask("look");
  }

  /** Hints were lost. */
  rescan(): void {
    this.#ask("beat");
  }

  /** The run of the thread is to stop. Its row says how. */
  stop(ref: ThreadRef): void {
    const { checkpointer, registry } = this.#deps;
    const key = threadKey(ref);
    for (const control of registry.all().filter((each) => each.key === key)) {
      checkpointer.run(ref, control.runId).then(
        (run) => {
          if (run !== null && run.stop !== null) control.requestStop(run.stop);
        },
        // The run's next commit, or the next heartbeat, meets it.
        () => undefined,
      );
    }
  }

  #ask(what: "beat" | "look"): void {
    const isWaiting = this.#asked !== null;
    if (this.#asked !== "beat") this.#asked = what;
    if (isWaiting) return;
    const act = (): void => {
      const asked = this.#asked;
      this.#asked = null;
      this.#actedAt = Date.now();
      if (asked === "beat") this.#deps.beat();
      else this.#deps.look();
    };
    setTimeout(act, Math.max(0, this.#actedAt + HINT_GAP_MS - Date.now())).unref();
  }
}
