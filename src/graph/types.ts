import type { z } from "zod";
import type {
  Command,
  DecisionKind,
  EventPublisher,
  HoldNames,
  Message,
  NewMessage,
  NodeContext,
  NodeOptions,
  NodeState,
  NodeStateBase,
  OnExpiry,
  Send,
} from "../engine/index.js";
import type { Checkpointer } from "../checkpoint/checkpointer.js";
import type { Duration } from "../lib/duration.js";

// zod's own name for "any object schema" needs its any.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type StateSchema = z.ZodObject<any>;

/** What a node sees: the fields of the graph's schema, and the thread's messages. Read-only. */
export type StateOf<S extends StateSchema> = NodeState<z.output<S>>;

declare const SENT: unique symbol;

/**
 * What a node sees that is reached by `new Send("WORK", value)`: the fields of the value instead of the graph's, and the
 * thread's messages. Written at the node's parameter: `({ item }: Sent<{ item: string }>) => …`. The name keeps a node of
 * another graph from passing for one that is sent to.
 */
export type Sent<V extends object> = NodeState<V> & { readonly [SENT]: true };
/** Any of them. */
export type AnySent = NodeStateBase & { readonly [SENT]: true };

/** The fields that may be given, all of them optional; of a graph without fields, none. */
type FieldsOf<S extends StateSchema> = string extends keyof z.input<S>
  ? unknown
  : { readonly [K in keyof z.input<S>]?: z.input<S>[K] | undefined };

/** What a node may change: any of the fields, and messages to add. */
export type UpdateOf<S extends StateSchema> = FieldsOf<S> & {
  readonly messages?: NewMessage | string | readonly (NewMessage | Message | string)[] | undefined;
  readonly contextSummary?: string | null | undefined;
};

type Value<S extends StateSchema> =
  | UpdateOf<S>
  | NewMessage
  | Message
  | readonly (NewMessage | Message)[]
  | string
  | Command<UpdateOf<S>>
  | NodeStateBase
  | undefined
  | null
  // A node that returns nothing.
  // eslint-disable-next-line @typescript-eslint/no-invalid-void-type
  | void;

/** What a node may return, at once, later, or at the end of a generator of text. */
export type NodeResult<S extends StateSchema> =
  | Value<S>
  | Promise<Value<S>>
  | AsyncGenerator<string, Value<S>, undefined>
  | Generator<string, Value<S>, undefined>;

/** A node: gets the state and its context, at once, later, or as a generator of text. */
export type NodeFunction<S extends StateSchema> = (state: StateOf<S>, ctx: NodeContext) => NodeResult<S>;

/** Refuses keys that the schema does not have, which assignment alone would let pass beside a known one. */
type Strict<S extends StateSchema, V> =
  V extends Command<infer U, infer N>
    ? Record<string, unknown> extends U
      ? V
      : Command<Strict<S, U>, N>
    : V extends string | null | undefined | readonly unknown[] | NodeStateBase
      ? V
      : V extends { readonly role: unknown; readonly content: unknown }
        ? V
        : V extends object
          ? { [K in keyof V]: K extends keyof UpdateOf<S> ? UpdateOf<S>[K] : never }
          : V extends Value<S>
            ? V
            : never;
export type StrictResult<S extends StateSchema, R> =
  R extends Promise<infer V>
    ? Promise<Strict<S, V>>
    : R extends AsyncGenerator<infer Y, infer V, infer I>
      ? AsyncGenerator<Y, Strict<S, V>, I>
      : R extends Generator<infer Y, infer V, infer I>
        ? Generator<Y, Strict<S, V>, I>
        : Strict<S, R>;

/** What `addNode` takes beside a compiled graph. Milliseconds and retries are its own nodes' affair. */
export interface NestedOptions<S extends StateSchema, I extends StateSchema> extends Pick<
  NodeOptions,
  "onCrash" | "onDeny"
> {
  /** What the nested graph begins with, instead of the fields that it shares: fields of its state, and `messages`. */
  readonly in?: (state: StateOf<S>) => MaybePromise<GraphInput<I>>;
  /** The update that it leaves, instead of its nodes' updates of shared fields. */
  readonly out?: (state: StateOf<I>) => MaybePromise<UpdateOf<S>>;
}

/** Names known so far: all strings where nodes were added by statements, which the type cannot follow. */
export type Known<N extends string> = [N] extends [never] ? string : N;

/** The nodes that an edge sends to; of `Send[]`, which does not say, none. */
type SendsOf<R> =
  R extends Send<infer M>
    ? string extends M
      ? never
      : M
    : R extends readonly (infer V)[] | PromiseLike<infer V>
      ? SendsOf<V>
      : never;
/** Refuses the edge that sends to a node that is not there. */
export type RightSends<N extends string, R> = [SendsOf<R>] extends [Known<N>] ? unknown : Send<Known<N>>;

/** How an update of a field is combined with what is there. */
export type Reducers<S extends StateSchema> = {
  // The update of a reduced field is what the node and its reducer agree on.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly [K in keyof z.output<S>]?: (current: z.output<S>[K], update: any) => z.output<S>[K];
};

export interface StateGraphOptions<S extends StateSchema> {
  readonly state?: S;
  readonly reducers?: Reducers<S>;
}

type MaybePromise<T> = T | Promise<T>;

/** A place where execution pauses for a person, with its words and its rules (design: engine, section 5). */
export interface HoldPointOptions<S extends StateSchema, N extends string> {
  readonly node: Known<N>;
  /** Whether it holds this visit. Default: always. */
  readonly when?: (state: StateOf<S>) => MaybePromise<boolean>;
  /** The question, for people. */
  readonly message?: (state: StateOf<S>) => MaybePromise<string>;
  /** What the person needs to decide. */
  readonly data?: (state: StateOf<S>) => MaybePromise<unknown>;
  readonly decisions?: readonly Extract<DecisionKind, "approve" | "edit" | "deny">[];
  /** A zod schema or a JSON Schema that the answer's `data` must fit. */
  readonly responseSchema?: unknown;
  /** Must be answered by its id. */
  readonly named?: boolean;
  /** Where a denial goes. Default: the node's `onDeny`, else END. */
  readonly onDeny?: Known<N> | "__end__";
  /** How long it waits for an answer each time it is asked: "24h", "90s", milliseconds. Default: as long as it takes. */
  readonly expiresIn?: Duration;
  /** What an expiry answers. "fail", the default, ends the run as an error; a resume asks again. */
  readonly onExpiry?: OnExpiry;
}

/** What `compile` takes. */
export interface CompileOptions<S extends StateSchema, N extends string> {
  /** Names the graph on the server. Default: the name of its export. */
  readonly name?: string;
  /** Default: in memory. */
  readonly checkpointer?: Checkpointer;
  readonly interruptBefore?: readonly (Known<N> | HoldPointOptions<S, N>)[] | "*";
  readonly interruptAfter?: readonly (Known<N> | HoldPointOptions<S, N>)[] | "*";
  readonly publisher?: EventPublisher | readonly EventPublisher[];
}

/** What `invoke` and `stream` take. */
export type GraphInput<S extends StateSchema> = FieldsOf<S> & {
  readonly messages?: readonly (string | NewMessage)[] | undefined;
};

/** Which thread, and what holds for this run beside what was compiled. */
export interface RunOptions {
  /** Default: a new thread. */
  readonly threadId?: string;
  readonly recursionLimit?: number;
  readonly interruptBefore?: HoldNames;
  readonly interruptAfter?: HoldNames;
  readonly metadata?: Record<string, unknown>;
}
