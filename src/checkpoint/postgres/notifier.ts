/**
 * Tells other processes what was committed here, by a statement of its own after the commit: inside it NOTIFY would make
 * commits wait for each other (38 % fewer of them). What happens in a short time goes together, and only ids go: whoever is
 * told reads what it needs. A notification that fails is dropped, because everybody also looks by themselves.
 *
 * Of each step, and of the inbox, is told only where somebody else is there: a statement a step, and its coming back, cost a
 * lone process a third of its CPU. Who hears greets the others at once and then now and then, and is answered; as long as one
 * hears nothing, or has just begun to, somebody may be there. Stops and work are told always.
 */
import { randomUUID } from "node:crypto";
import type { ThreadRef, Wake } from "../checkpointer.js";

/** PostgreSQL takes 7 999 bytes, and refuses the statement beyond. */
const PAYLOAD_BYTES = 7900;
/** A notification is sent at once, but not sooner than so many milliseconds after the last one. */
const PACE_MS = 5;
/** Milliseconds for which somebody who was heard is taken to be there. */
const HEARD_MS = 30_000;
/** Milliseconds in which everybody who is there has answered a greeting. */
const ANSWER_MS = 2000;
/** Milliseconds for which somebody who has just come may have missed what was not told. */
const MISSED_MS = 5000;
/** Threads that may wait to be named; beyond, everybody is to look at everything. */
const NAMED = 1000;

type Id = readonly [tenant: string, thread: string];
/**
 * What is sent: by whom, threads with something new, threads whose run is to stop, whether work waits, whether the inbox has
 * news, threads with live events, whether it asks who is there; or "everything".
 */
type Payload =
  | readonly [
      sender: string,
      threads: readonly Id[],
      stops: readonly Id[],
      work: boolean,
      inbox?: boolean,
      live?: readonly Id[],
      asks?: boolean,
    ]
  | readonly [sender: string, everything: "*"];

export class Notifier {
  /** Who this is: what comes back of its own is not news. */
  readonly #sender = randomUUID();
  readonly #send: (payload: string) => Promise<unknown>;
  #threads = new Map<string, Id>();
  #stops = new Map<string, Id>();
  readonly #live = new Map<string, Id>();
  #work = false;
  #inbox = false;
  #everything = false;
  #lastAt = -Infinity;
  /** Until when somebody is taken to be there: as long as nothing is heard, nobody knows. */
  #companyUntil = Infinity;
  /** When something was last kept to itself. */
  #untoldAt = -Infinity;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;

  constructor(send: (payload: string) => Promise<unknown>) {
    this.#send = send;
  }

  /** What is told together goes together. News of threads and of the inbox is told where somebody else is there. */
  tell(...wakes: readonly Wake[]): void {
    for (const wake of wakes)
      if ((wake.kind !== "thread" && wake.kind !== "inbox") || this.#hasCompany()) this.#note(wake);
    this.#schedule();
  }

  /** What is to be heard from now on is heard, or is not. */
  hearing(hears: boolean): void {
    this.#companyUntil = hears ? performance.now() + ANSWER_MS : Infinity;
  }

  #note(wake: Wake): void {
    if (wake.kind === "work") this.#work = true;
    else if (wake.kind === "inbox") this.#inbox = true;
    else if (wake.kind === "live") this.#live.set(...named(wake.ref));
    else if (wake.kind === "rescan" || this.#threads.size + this.#stops.size >= NAMED)
      this.#everything = true;
    else {
      const of = wake.kind === "stop" ? this.#stops : this.#threads;
      of.set(...named(wake.ref));
    }
  }

  /** Says nothing but who is there. */
  get greeting(): string {
    return JSON.stringify([this.#sender, [], [], false] satisfies Payload);
  }

  /** Sends a greeting that asks who else is there, to see whether it arrives. Rejects where it cannot be sent. */
  async probe(): Promise<void> {
    await this.#send(JSON.stringify([this.#sender, [], [], false, false, [], true] satisfies Payload));
  }

  #hasCompany(): boolean {
    const now = performance.now();
    if (now < this.#companyUntil) return true;
    this.#untoldAt = now;
    return false;
  }

  /** Somebody else is there. Who has just come is answered, and is to look for what this one kept to itself meanwhile. */
  #meet(asks: boolean): void {
    const now = performance.now();
    const isNew = now >= this.#companyUntil;
    if (this.#companyUntil < Infinity) this.#companyUntil = Math.max(this.#companyUntil, now + HEARD_MS);
    if (isNew && now - this.#untoldAt < MISSED_MS) this.tell({ kind: "rescan" });
    else if (asks) this.#send(this.greeting).catch(() => undefined);
  }

  /** Once what was told until now has been sent. */
  async close(): Promise<void> {
    while (this.#sending !== null || this.#hasNews()) {
      this.#flush();
      await this.#sending;
    }
  }

  /** What a notification says; "own" where it is this notifier's. Of what is none, nothing. */
  read(payload: string): "own" | readonly Wake[] {
    const said = parsed(payload);
    if (said === null) return [];
    const [sender, threads] = said;
    if (sender === this.#sender) return "own";
    this.#meet(said[6] === true);
    if (threads === "*") return [{ kind: "rescan" }];
    const [, , stops, work, inbox = false, live = []] = said;
    return [
      // First what is waited for in the middle of a step.
      ...stops.map((id) => ({ kind: "stop" as const, ref: refOf(id) })),
      ...threads.map((id) => ({ kind: "thread" as const, ref: refOf(id) })),
      ...live.map((id) => ({ kind: "live" as const, ref: refOf(id) })),
      ...(work ? [{ kind: "work" as const }] : []),
      ...(inbox ? [{ kind: "inbox" as const }] : []),
    ];
  }

  #hasNews(): boolean {
    const named = this.#threads.size + this.#stops.size + this.#live.size;
    return named > 0 || this.#work || this.#inbox || this.#everything;
  }

  #schedule(): void {
    if (this.#sending !== null || !this.#hasNews()) return;
    const wait = this.#stops.size > 0 ? 0 : this.#lastAt + PACE_MS - performance.now();
    if (wait <= 0) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), wait);
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#sending !== null || !this.#hasNews()) return;
    const payload = this.#take();
    this.#lastAt = performance.now();
    this.#sending = this.#send(payload)
      .then(
        () => undefined,
        () => undefined,
      )
      .finally(() => {
        this.#sending = null;
        this.#schedule();
      });
  }

  #take(): string {
    const [threads, stops] = [[...this.#threads.values()], [...this.#stops.values()]];
    const said = [this.#sender, threads, stops, this.#work, this.#inbox] as const;
    const bytes = Buffer.byteLength(JSON.stringify([...said, []]));
    const fits = !this.#everything && bytes <= PAYLOAD_BYTES;
    const all: Payload = [...said, fits ? this.#takeLive(PAYLOAD_BYTES - bytes) : []];
    this.#threads = new Map();
    this.#stops = new Map();
    this.#work = false;
    this.#inbox = false;
    this.#everything = false;
    return fits ? JSON.stringify(all) : JSON.stringify([this.#sender, "*"] satisfies Payload);
  }

  /** What fits; the rest goes with the next one. They are many, and nobody is to look at everything for them. */
  #takeLive(bytes: number): Id[] {
    const taken: Id[] = [];
    let left = bytes;
    for (const [key, id] of this.#live) {
      left -= Buffer.byteLength(key) + 1;
      if (left < 0) break;
      this.#live.delete(key);
      taken.push(id);
    }
    return taken;
  }
}

const named = ({ tenant, threadId }: ThreadRef): [string, Id] => {
  const id: Id = [tenant, threadId];
  return [JSON.stringify(id), id];
};
const refOf = ([tenant, threadId]: Id): ThreadRef => ({ tenant, threadId });

/** Anybody may notify on the channel, also a later version. */
function parsed(payload: string): Payload | null {
  try {
    const said: unknown = JSON.parse(payload);
    if (!Array.isArray(said) || typeof said[0] !== "string") return null;
    const fits =
      said[1] === "*" || [said[1], said[2], said[5] ?? []].every((ids: unknown) => Array.isArray(ids));
    return fits ? (said as unknown as Payload) : null;
  } catch {
    return null;
  }
}
