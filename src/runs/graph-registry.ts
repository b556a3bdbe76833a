import { HoldpointError, notFound } from "../errors.js";
import type { GraphDefinition } from "../engine/index.js";
import { didYouMean } from "../lib/nearest.js";

/** The graphs that this process has loaded, by name. */
export class GraphRegistry {
  readonly #graphs = new Map<string, GraphDefinition>();

  /** A newer definition of a name takes its place: the library compiles a graph again after a restart. */
  register(def: GraphDefinition): void {
    this.#graphs.set(def.name, def);
  }

  names(): string[] {
    return [...this.#graphs.keys()];
  }

  all(): GraphDefinition[] {
    return [...this.#graphs.values()];
  }

  find(name: string): GraphDefinition | undefined {
    return this.#graphs.get(name);
  }

  /** Throws `not_found` with the nearest name. */
  get(name: string): GraphDefinition {
    const def = this.#graphs.get(name);
    if (def !== undefined) return def;
    throw notFound(`no graph is called ${JSON.stringify(name)}${didYouMean(name, this.names())}`, {
      graphs: this.names(),
    });
  }

  /** The graph of a request: the named one, else the thread's, else the only one. Throws `not_found`, `graph_required`. */
  choose(asked: string | GraphDefinition | undefined, ofThread: string | null): GraphDefinition {
    if (typeof asked === "object") return asked;
    const name = asked ?? ofThread;
    if (name !== null) return this.get(name);
    const [only, ...others] = this.all();
    if (only !== undefined && others.length === 0) return only;
    const detail =
      only === undefined
        ? "this server has no graphs"
        : `this server serves several graphs; name one of ${this.names().join(", ")}`;
    throw new HoldpointError("graph_required", detail, { graphs: this.names() });
  }
}
