/** The clients: they start runs, answer what is asked, several at once, stop and go on, each on whichever server there is. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type Reply, type Tally } from "./client.js";
import type { Cluster } from "./cluster.js";
import type { StateOf } from "./evidence.js";
import type { Random } from "./random.js";
import { Reader } from "./readers.js";

const GRAPHS = { line: 2, fan: 2, pay: 4, ask: 3, nested: 3, loop: 2, slow: 2, flaky: 1 };
/** Threads at work at once. */
const COURSES = 8;

type OnBusy = "reject" | "enqueue" | "stop";

interface OpenInterrupt {
  readonly id: string;
  readonly decisions: readonly string[];
}

export class Load {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #client: Client;
  readonly #threads: string[] = [];
  readonly #readers: Reader[] = [];
  readonly #following: Promise<void>[] = [];
  /** Requests that nobody waits for. */
  readonly #aside = new Set<Promise<unknown>>();
  #over = false;
  #words = 0;

  constructor(of: { cluster: Cluster; random: Random; tally: Tally }) {
    this.#cluster = of.cluster;
    this.#random = of.random;
    this.#tally = of.tally;
    this.#client = new Client(of);
  }

  get threads(): readonly string[] {
    return this.#threads;
  }

  get readers(): readonly Reader[] {
    return this.#readers;
  }

  async run(ms: number): Promise<void> {
    const end = setTimeout(() => (this.#over = true), ms);
    await Promise.all(
      Array.from({ length: COURSES }, async (_, i) => {
        while (!this.#over) await this.#course(`c${i}-${this.#threads.length}`);
      }),
    );
    clearTimeout(end);
    console.log(`the courses are over; ${this.#aside.size} requests are under way`);
    while (this.#aside.size > 0) await Promise.all(this.#aside);
  }

  /** Every thread can be brought to its end, once nothing is in its way; those that cannot. */
  async bringToEnd(): Promise<string[]> {
    const stuck: string[] = [];
    const left = [...this.#threads];
    const work = async (): Promise<void> => {
      for (let thread = left.pop(); thread !== undefined; thread = left.pop()) {
        const status = await this.#toEnd(thread);
        if (status !== null) stuck.push(`${thread}: ${status}`);
      }
    };
    await Promise.all(Array.from({ length: COURSES }, work));
    return stuck;
  }

  /** Lets all readers read to the end. */
  async finishReading(): Promise<void> {
    for (const reader of this.#readers) reader.finish();
    await Promise.all(this.#following);
  }

  async states(): Promise<StateOf[]> {
    const states: StateOf[] = [];
    for (const thread of this.#threads) {
      const reply = await this.#client.ask("GET", `/threads/${thread}/state`, { expected: [404] });
      if (reply?.status === 200) states.push({ thread, ...reply.body.state });
    }
    return states;
  }

  /** One thread: one to three runs after each other, each with what comes in its way. */
  async #course(thread: string): Promise<void> {
    const random = this.#random.fork(thread);
    const graph = random.weighted(GRAPHS);
    this.#threads.push(thread);
    for (let rounds = random.whole(1, 3); rounds > 0 && !this.#over; rounds--) {
      await this.#start(thread, graph, random);
      if (this.#over) return;
      this.#maybeRead(thread, random);
      await this.#accompany(thread, graph, random);
    }
  }

  /** Starts a run, by one way or the other; returns when the thread is there. */
  async #start(thread: string, graph: string, random: Random): Promise<void> {
    while (!this.#over) {
      const how = random.weighted({ run: 2, later: 1, stream: 3 });
      if (how === "run") this.#goAside(this.#run(thread, graph));
      else if (how === "later") await this.#runLater(thread, graph, "reject");
      else await this.#stream(thread, graph, random);
      await sleep(random.whole(5, 60));
      const found = await this.#client.ask("GET", `/threads/${thread}`, { expected: [404] });
      if (found?.status === 200) return;
    }
  }

  /** A request of its own words: sent again it is the same, and its run can be told from all others. */
  #newRun(graph: string, onBusy: OnBusy) {
    const words = `run ${this.#words++}`;
    const body = { graph, input: {}, on_busy: onBusy, config: { metadata: { words } } };
    return { words, body, headers: { "Idempotency-Key": words } };
  }

  async #run(thread: string, graph: string): Promise<void> {
    const { words, ...request } = this.#newRun(graph, "reject");
    const reply = await this.#client.ask("POST", `/threads/${thread}/run`, { ...request, tries: 10 });
    if (reply?.status === 200) this.#accept(thread, reply.body.run_id as string, words);
  }

  /** A run whose client is content to know that it will be. */
  async #runLater(thread: string, graph: string, onBusy: OnBusy): Promise<void> {
    const { words, body, headers } = this.#newRun(graph, onBusy);
    if (onBusy === "stop") this.#tally.stopped.add(thread);
    const reply = await this.#client.ask("POST", `/threads/${thread}/run`, {
      body,
      headers: { ...headers, Prefer: "respond-async" },
      tries: 10,
    });
    if (reply === null || reply.status >= 300) return;
    this.#tally.count(`accepted for later, ${onBusy}`);
    this.#accept(thread, reply.body.run_id as string, words);
  }

  /** A run whose events its client reads from the start. */
  async #stream(thread: string, graph: string, random: Random): Promise<void> {
    const { words, body, headers } = this.#newRun(graph, "reject");
    const url = this.#cluster.anyUrl(random);
    if (url === null) return;
    const reader = this.#newReader(thread, random, 0);
    let response: Response;
    const leaving = new AbortController();
    const patience = setTimeout(() => leaving.abort(), 4000);
    try {
      response = await fetch(`${url}/threads/${thread}/stream`, {
        method: "POST",
        headers,
        body: JSON.stringify(body),
        signal: leaving.signal,
      });
    } catch {
      this.#tally.count("unknown");
      return;
    } finally {
      clearTimeout(patience);
    }
    if (response.status !== 200) {
      if (![409, 503].includes(response.status))
        this.#tally.unexpected.push(`stream ${thread}: ${response.status} ${await response.text()}`);
      return;
    }
    // The first byte is here: the run is accepted.
    this.#accept(thread, response.headers.get("content-location")?.split("/").at(-1) ?? "", words);
    const reading = reader.take(response).then(() => {
      if (!reader.began) return;
      this.#readers.push(reader);
      this.#following.push(reader.follow());
    });
    this.#goAside(reading);
  }

  #maybeRead(thread: string, random: Random): void {
    if (random.chance(0.4)) return;
    const reader = this.#newReader(thread, random, 0);
    this.#readers.push(reader);
    this.#following.push(reader.follow());
  }

  #newReader(thread: string, random: Random, after: number): Reader {
    const name = `reader ${this.#words++}`;
    const [cluster, tally] = [this.#cluster, this.#tally];
    return new Reader({ cluster, tally, name, thread, after, random: random.fork(name) });
  }

  /** What comes in a run's way, until it is at its end or given up. */
  async #accompany(thread: string, graph: string, random: Random): Promise<void> {
    while (!this.#over) {
      const found = await this.#client.ask("GET", `/threads/${thread}`);
      const { status, interrupts } = found?.body ?? {};
      switch (status) {
        case "running":
        case "queued":
          if (random.chance(0.06)) await this.#stop(thread, random);
          if (random.chance(0.12))
            await this.#runLater(thread, graph, random.chance(0.75) ? "enqueue" : "stop");
          await sleep(random.whole(20, 250));
          break;
        case "interrupted_before":
        case "interrupted_after":
          if (random.chance(0.05)) await this.#stop(thread, random);
          else await this.#answer(thread, interrupts as OpenInterrupt[], random);
          break;
        case "stopped":
        case "error":
          if (random.chance(0.25)) return;
          await this.#goOn(thread);
          break;
        default:
          return;
      }
    }
  }

  /** Several people answer at once, each as it thinks right, on different servers; sometimes a stop comes between. */
  async #answer(thread: string, interrupts: readonly OpenInterrupt[], random: Random): Promise<void> {
    const answers = interrupts.flatMap((interrupt) =>
      Array.from({ length: random.whole(1, 3) }, () => this.#decide(thread, interrupt, random)),
    );
    if (random.chance(0.05)) answers.push(this.#stop(thread, random));
    for (const answer of answers) this.#goAside(answer);
    // Whoever reads a thread while it is answered may find nothing open any more: a race of nobody never ends.
    if (answers.length > 0) await Promise.race(answers);
  }

  async #decide(thread: string, { id, decisions }: OpenInterrupt, random: Random): Promise<void> {
    const decision = random.chance(0.75) ? "approve" : "deny";
    if (!decisions.includes(decision)) this.#tally.unexpected.push(`${id} does not offer ${decision}`);
    const reason = `words ${this.#words++}`;
    const byId = random.chance(0.5);
    const path = byId ? `/interrupts/${id}/decision` : `/threads/${thread}/resume`;
    const body = { decision, reason, ...(byId ? {} : { interrupt_id: id }) };
    this.#tally.count("answers");
    const reply = await this.#client.ask("POST", path, { body });
    if (reply === null || reply.status >= 300) return;
    this.#tally.accepted.push({ kind: "answer", thread, interrupt: id, decision, reason });
    this.#accept(thread, reply.body.run_id as string);
  }

  async #stop(thread: string, random: Random): Promise<void> {
    const mode = random.chance(0.7) ? "now" : "after_step";
    this.#tally.count("stops");
    this.#tally.stopped.add(thread);
    const reply = await this.#client.ask("POST", `/threads/${thread}/stop`, { body: { mode } });
    if (reply?.status !== 200) return;
    const { running, run_id: run, cancelled_interrupts: cancelled, dropped } = reply.body;
    this.#tally.accepted.push({ kind: "stop", thread, run: running ? run : null, cancelled, dropped });
  }

  async #goOn(thread: string): Promise<Reply | null> {
    const reply = await this.#client.once("POST", `/threads/${thread}/resume`, { body: {} });
    if (reply?.status === 200) this.#accept(thread, reply.body.run_id as string);
    return reply;
  }

  /** Its status where it does not come to its end. */
  async #toEnd(thread: string): Promise<string | null> {
    let last = "unknown";
    for (let i = 0; i < 60; i++) {
      const found = await this.#client.ask("GET", `/threads/${thread}`, { expected: [404] });
      // Its first run was never accepted, by any answer.
      if (found?.status === 404) return null;
      last = String(found?.body?.status);
      if (last === "completed") return null;
      if (last.startsWith("interrupted")) {
        for (const { id } of found?.body.interrupts as OpenInterrupt[]) {
          const reason = `words ${this.#words++}`;
          const body = { decision: "approve", reason };
          const reply = await this.#client.once("POST", `/interrupts/${id}/decision`, { body });
          if (reply !== null && reply.status < 300)
            this.#tally.accepted.push({ kind: "answer", thread, interrupt: id, decision: "approve", reason });
        }
      } else if (last === "stopped" || last === "error") await this.#goOn(thread);
      else await sleep(100);
    }
    return last;
  }

  #accept(thread: string, run: string, words?: string): void {
    this.#tally.count("accepted");
    this.#tally.accepted.push({ kind: "run", thread, run, ...(words === undefined ? {} : { words }) });
  }

  #goAside(work: Promise<unknown>): void {
    const kept = work.finally(() => this.#aside.delete(kept));
    this.#aside.add(kept);
  }
}
