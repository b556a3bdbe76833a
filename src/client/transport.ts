/** One request and its answer, sent again where that is safe and may help. */
import { ConnectionError, HoldpointError, TimeoutError } from "./errors.js";
import { refusal } from "./refusal.js";
import { Patience, pause, retryOptions, type RetryOptions } from "./retry.js";
import { Scope } from "./scope.js";

/** Headers by their names. */
export type HeaderFields = Readonly<Record<string, string>>;

/** Where the server is, and how to talk to it. */
export interface ClientOptions {
  /** The server's URL; may have a path, and in a browser be relative to the page. */
  readonly baseUrl: string;
  /** Sent with every request; a function is asked before each attempt. */
  readonly headers?: HeaderFields | (() => HeaderFields | Promise<HeaderFields>);
  /** Instead of the global `fetch`. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** Ends whatever the client does. */
  readonly signal?: AbortSignal;
  /** How patient to be with a server that is not reached; `false` is not at all. */
  readonly retry?: Partial<RetryOptions> | false;
  /** A stream that says nothing for so many milliseconds, not even that it lives, is cut and taken up again (45 000). */
  readonly stallMs?: number;
}

/** Of any call. */
export interface CallOptions {
  /** Ends the call: it rejects with the signal's reason. A run that it started goes on. */
  readonly signal?: AbortSignal;
  /** Milliseconds that the call may take, with all its attempts. */
  readonly timeoutMs?: number;
  /** Sent beside the client's own headers. */
  readonly headers?: HeaderFields;
}

/** Of a call that is done once, however often it is sent. */
export interface OnceOptions extends CallOptions {
  /** One that your own repetitions share; without it the client makes one for its own. */
  readonly idempotencyKey?: string;
}

/** Of a call that waits for a run. */
export interface WaitOptions extends OnceOptions {
  /** Not to wait, or so many seconds at most: what comes is the run as it stands. */
  readonly prefer?: "respond-async" | { readonly wait: number };
}

/** Values of a query; those that are undefined are left out. */
export type QueryValues = Readonly<Record<string, string | number | boolean | undefined>>;

/** A request, before the client's own part is added. */
export interface Asked {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: QueryValues | undefined;
  readonly body?: unknown;
  readonly headers?: HeaderFields | undefined;
}

const STALL_MS = 45_000;
/** The server, or a gateway before it, is away for a moment. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

export class Transport {
  readonly retry: RetryOptions;
  readonly stallMs: number;
  readonly signal: AbortSignal | undefined;
  readonly #baseUrl: string;
  readonly #headers: ClientOptions["headers"];
  readonly #fetch: NonNullable<ClientOptions["fetch"]>;

  constructor(options: ClientOptions) {
    this.#baseUrl = options.baseUrl.replace(/\/+$/, "");
    const { protocol } = new URL(new Request(`${this.#baseUrl}/`).url);
    if (!/^https?:$/.test(protocol)) throw new TypeError(`${options.baseUrl} is no URL of http or https`);
    this.#headers = options.headers;
    // A browser's fetch wants to be called on nothing.
    const given = options.fetch;
    this.#fetch = given === undefined ? (url, init) => fetch(url, init) : (url, init) => given(url, init);
    this.signal = options.signal;
    this.retry = retryOptions(options.retry);
    this.stallMs = options.stallMs ?? STALL_MS;
  }

  /** One attempt. Throws a `HoldpointError` for a refusal, a `ConnectionError` where none came through. */
  async once<T>(asked: Asked, scope: Scope, read: (response: Response) => Promise<T>): Promise<T> {
    const url = `${this.#baseUrl}${asked.path}${queryOf(asked.query)}`;
    const given = typeof this.#headers === "function" ? await scope.bound(this.#headers()) : this.#headers;
    scope.signal.throwIfAborted();
    try {
      const answered = this.#fetch(url, {
        method: asked.method,
        headers: merged(
          {
            Accept: "application/json",
            ...(asked.body === undefined ? {} : { "Content-Type": "application/json" }),
          },
          given,
          asked.headers,
        ),
        ...(asked.body === undefined ? {} : { body: JSON.stringify(asked.body) }),
        signal: scope.signal,
      });
      const response = await scope.bound(answered);
      return await scope.bound(response.ok ? read(response) : refusal(response).then(thrown));
    } catch (error) {
      if (scope.signal.aborted) throw scope.signal.reason;
      if (error instanceof HoldpointError) throw error;
      throw new ConnectionError(`${asked.method} ${url} did not come through: ${String(error)}`, {
        cause: error,
      });
    }
  }

  /** As many attempts as the patience allows where `repeatable`, else one. */
  async call<T>(
    asked: Asked,
    options: CallOptions & { readonly repeatable: boolean },
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const scope = new Scope([this.signal, options.signal]);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) {
      const late = `${asked.method} ${asked.path} was not answered within ${timeoutMs} ms`;
      scope.endAfter(timeoutMs, () => new TimeoutError(late));
    }
    const patience = new Patience(this.retry);
    const request = { ...asked, headers: { ...options.headers, ...asked.headers } };
    try {
      for (;;) {
        try {
          return await this.once(request, scope, read);
        } catch (error) {
          const wait =
            options.repeatable && isAway(error) ? patience.next({ atLeastMs: retryAfterOf(error) }) : null;
          if (wait === null) throw error;
          await pause(wait, scope.signal);
        }
      }
    } finally {
      scope.end();
    }
  }

  /** A JSON answer to a request that changes nothing. */
  get<T>(path: string, options: CallOptions = {}, query?: QueryValues): Promise<T> {
    return this.call({ method: "GET", path, query }, { ...options, repeatable: true }, json<T>);
  }

  /** A JSON answer to a request that is sent once: repeating it might do it twice, or hide that the server is away. */
  send<T>(method: Asked["method"], path: string, body?: unknown, of: CallOptions = {}): Promise<T> {
    return this.call({ method, path, body }, { ...of, repeatable: false }, json<T>);
  }

  /** A JSON answer to a request that the server does once, by its key. */
  post<T>(path: string, body: unknown, options: WaitOptions): Promise<T> {
    return this.call(keyed(path, body, options), { ...options, repeatable: true }, json<T>);
  }
}

/** A POST with an idempotency key, its own or one made here. */
export function keyed(path: string, body: unknown, options: WaitOptions): Asked {
  const { idempotencyKey = newKey(), prefer } = options;
  const preference = typeof prefer === "object" ? `wait=${prefer.wait}` : prefer;
  return {
    method: "POST",
    path,
    body,
    headers: {
      "Idempotency-Key": idempotencyKey,
      ...(preference === undefined ? {} : { Prefer: preference }),
    },
  };
}

/** Whether asking again may help. */
export const isAway = (error: unknown): boolean =>
  !(error instanceof TimeoutError) &&
  (error instanceof ConnectionError || (error instanceof HoldpointError && AWAY.has(error.status)));

export const retryAfterOf = (error: unknown): number | null =>
  error instanceof HoldpointError ? error.retryAfterMs : null;

/** Later ones win, however they are spelled. */
function merged(...all: readonly (HeaderFields | undefined)[]): Headers {
  const headers = new Headers();
  for (const each of all) for (const [name, value] of Object.entries(each ?? {})) headers.set(name, value);
  return headers;
}

async function json<T>(response: Response): Promise<T> {
  return (response.status === 204 ? undefined : await response.json()) as T;
}

function thrown(error: HoldpointError): never {
  throw error;
}

function queryOf(values: QueryValues = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

/** crypto.randomUUID is not there on pages without TLS. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
