import { deepFreeze } from "../../lib/deep-freeze.js";
import type { Json } from "../../lib/json.js";
import { applyOps, isActive, isInterrupted, taskIds } from "../../engine/index.js";
import type { Interrupt, Message, Snapshot } from "../../engine/index.js";
import type {
  Checkpointer,
  Claim,
  DecisionRecord,
  Enqueue,
  Enqueued,
  Fork,
  Forked,
  Owned,
  Page,
  PageRequest,
  RequestKey,
  RunRecord,
  StopOutcome,
  StopRequest,
  TaskRecord,
  ThreadHead,
  ThreadRef,
  Upkeep,
  UsedKey,
  WorkerInfo,
  Write,
  Written,
} from "../checkpointer.js";
import { takeRuns } from "./claims.js";
import { applyWrite, newThread } from "./apply-write.js";
import { forkedThread, messagesAt } from "./fork-thread.js";
import { paginate } from "./paginate.js";
import { addToQueue, stopAll } from "./queue.js";
import { refusal } from "./refusal.js";
import { RequestKeys } from "./request-keys.js";
import { MemoryInbox } from "./memory-inbox.js";
import { MemoryPresence } from "./memory-presence.js";
import { MemoryUpkeep } from "./memory-upkeep.js";
import {
  decisionRecord,
  messagesOfRun,
  newestOfEachKey,
  recordOf,
  type StoredThread,
  type Tombstone,
} from "./stored-thread.js";

const keyOf = (ref: ThreadRef): string => JSON.stringify([ref.tenant, ref.threadId]);

/**
 * The port in this process's memory: for tests and development. Everything is gone with the process. Each method does its
 * work in one turn of the event loop, which is what makes it atomic.
 */
export class InMemoryCheckpointer implements Checkpointer {
  readonly describe = "memory";
  /** There is no other process. */
  readonly hears = true;
  readonly liveEdge = null;
  readonly #threads = new Map<string, StoredThread>();
  readonly #tombstones = new Map<string, Tombstone>();
  readonly #keys = new RequestKeys();
  readonly #workers = new Map<string, { at: number; leaseMs: number }>();
  readonly inbox = new MemoryInbox((tenant, id) => this.#interruptsOf(tenant).find((row) => row.id === id));
  readonly upkeep: Upkeep = new MemoryUpkeep({
    threads: this.#threads,
    workers: this.#workers,
    keys: this.#keys,
    inbox: this.inbox,
    remove: (ref) => void this.remove(ref),
  });
  readonly presence = new MemoryPresence((ref) => this.#threads.get(keyOf(ref)));

  async open(): Promise<void> {
    // Nothing to prepare.
  }

  async close(): Promise<void> {
    // Nothing to give back.
  }

  async ping(): Promise<void> {
    // Memory always answers.
  }

  onWake(): () => void {
    return () => undefined;
  }

  async load(ref: ThreadRef): ReturnType<Checkpointer["load"]> {
    const thread = this.#threads.get(keyOf(ref));
    if (thread === undefined) return { head: null, seq: this.#tombstones.get(keyOf(ref))?.seq ?? 0 };
    const tasks = new Set(taskIds(thread.position));
    return {
      head: thread.head,
      snapshot: {
        step: thread.head.step,
        values: thread.values,
        messages: thread.context,
        position: thread.position,
      },
      run: thread.head.runId === null ? null : (thread.runs.get(thread.head.runId) ?? null),
      interrupts: newestOfEachKey(thread.interrupts.filter((row) => tasks.has(row.taskId))),
      records: [...thread.records.values()].filter((record) => tasks.has(record.taskId)),
      sinceValues: thread.sinceValues,
    };
  }

  async loadAt(
    ref: ThreadRef,
    checkpoint: { id: string } | { seq: number },
  ): ReturnType<Checkpointer["loadAt"]> {
    const thread = this.#threads.get(keyOf(ref));
    if (thread === undefined) return null;
    const at = thread.entries.findLastIndex(
      (entry) =>
        entry.checkpoint !== null &&
        ("id" in checkpoint ? entry.checkpointId === checkpoint.id : entry.seq <= checkpoint.seq),
    );
    const found = thread.entries[at]?.checkpoint;
    if (found === undefined || found === null) return null;
    const checkpoints = thread.entries.slice(0, at + 1).flatMap((entry) => entry.checkpoint ?? []);
    const values = checkpoints.reduce<Snapshot["values"]>(
      (base, each) => each.values ?? applyOps(base, each.ops),
      {},
    );
    const messages = messagesAt(thread, found.seq);
    return {
      record: recordOf(found),
      snapshot: { step: found.step, values, messages, position: found.position },
    };
  }

  async write(write: Write): Promise<Written> {
    const key = keyOf(write.ref);
    let thread = this.#threads.get(key);
    if (write.create !== undefined) {
      if (write.decide.length > 0) return { outcome: "moved" };
      const buried = this.#tombstones.get(key);
      if (thread !== undefined)
        return write.start === undefined
          ? { outcome: "moved" }
          : (refusal(thread, write) ?? { outcome: "moved" });
      if (write.guard.from !== (buried?.seq ?? 0)) return { outcome: "moved" };
      if (this.#keys.isUsed(write.ref.tenant, write.key)) return { outcome: "repeated" };
      thread = newThread(write.ref, write, buried?.seq ?? 0, buried?.epoch ?? 0);
      this.#threads.set(key, thread);
    }
    if (thread === undefined) return { outcome: write.guard.by === "seq" ? "moved" : "fenced" };
    const refused = refusal(thread, write);
    if (refused !== null) return refused;
    if (this.#keys.isUsed(write.ref.tenant, write.key)) return { outcome: "repeated" };
    const dropped = applyWrite(thread, write);
    this.inbox.written(thread, write);
    this.#keys.use(write.ref.tenant, write.key, write.ref.threadId, write.runId);
    const { epoch, status } = thread.head;
    return { outcome: "committed", epoch, queued: status === "queued", dropped };
  }

  async enqueue(of: Enqueue): Promise<Enqueued> {
    const key = keyOf(of.ref);
    const known = this.#threads.get(key);
    const buried = this.#tombstones.get(key);
    const thread = known ?? newThread(of.ref, of, buried?.seq ?? 0, buried?.epoch ?? 0);
    const { head } = thread;
    if (thread.runs.has(of.runId)) return { outcome: "queued", seq: head.seq, stopped: null, dropped: [] };
    if (this.#keys.isUsed(of.ref.tenant, of.key)) return { outcome: "repeated" };
    if (
      isInterrupted(head.status) ||
      (head.graph !== null && head.graph !== of.graph) ||
      (of.free && isActive(head.status))
    )
      return { outcome: "moved" };
    this.#threads.set(key, thread);
    const met = of.stop === null ? { stopped: null, dropped: [] } : stopAll(thread, of.stop);
    addToQueue(thread, deepFreeze(of));
    this.#keys.use(of.ref.tenant, of.key, of.ref.threadId, of.runId);
    return { outcome: "queued", seq: head.seq, ...met };
  }

  async usedKey(tenant: string, key: string): Promise<UsedKey | null> {
    return this.#keys.find(tenant, key);
  }

  async answerKey(tenant: string, key: string, answer: Json): Promise<void> {
    this.#keys.answer(tenant, key, answer);
  }

  async fork(of: Fork): Promise<Forked> {
    const to = { tenant: of.ref.tenant, threadId: of.threadId };
    const source = this.#threads.get(keyOf(of.ref));
    const from = source?.entries.find(({ checkpointId }) => checkpointId === of.checkpointId);
    if (source === undefined || from === undefined) return "missing";
    if (this.#threads.has(keyOf(to))) return "exists";
    this.#threads.set(keyOf(to), forkedThread(source, from.seq, of, to, this.#tombstones.get(keyOf(to))));
    return "forked";
  }

  async reserve(ref: ThreadRef, epoch: number, limit: number): Promise<boolean> {
    const thread = this.#running(ref, epoch);
    if (thread === null) return false;
    thread.head = { ...thread.head, limit: Math.max(limit, thread.head.limit) };
    return true;
  }

  async record(ref: ThreadRef, epoch: number, record: TaskRecord): Promise<boolean> {
    const thread = this.#threads.get(keyOf(ref));
    if (thread?.head.epoch !== epoch) return false;
    const key = JSON.stringify([record.taskId, record.key]);
    if (thread.records.has(key)) return true;
    thread.records.set(key, record);
    // A resume that was decided without this record must look again.
    if (thread.head.status !== "running")
      thread.head = { ...thread.head, seq: thread.head.seq + 1, limit: thread.head.limit + 1 };
    return true;
  }

  async requestStop(ref: ThreadRef, stop: StopRequest, key?: RequestKey): Promise<StopOutcome> {
    const thread = this.#threads.get(keyOf(ref));
    if (thread === undefined) return { was: "missing" };
    if (this.#keys.isUsed(ref.tenant, key)) return { was: "repeated" };
    const { status, runId, epoch } = thread.head;
    if (isInterrupted(status)) return { was: "interrupted" };
    const { dropped } = stopAll(thread, stop);
    this.#keys.use(ref.tenant, key, ref.threadId, status === "running" ? runId : null);
    if (status === "running" && runId !== null) return { was: "running", runId, epoch, dropped };
    if (status !== "queued") return { was: "not-running" };
    thread.head = { ...thread.head, status: "stopped", updatedAt: stop.at };
    return { was: "queued", dropped };
  }

  async remove(ref: ThreadRef): Promise<"removed" | "busy" | "missing"> {
    const key = keyOf(ref);
    const thread = this.#threads.get(key);
    if (thread === undefined) return "missing";
    if (thread.head.status === "running" || thread.head.status === "queued") return "busy";
    const decisions = thread.interrupts.flatMap((interrupt) =>
      interrupt.decision === null ? [] : [{ interrupt, answer: interrupt.decision }],
    );
    this.#tombstones.set(key, {
      seq: thread.head.limit,
      epoch: thread.head.epoch,
      decisions: [...(this.#tombstones.get(key)?.decisions ?? []), ...decisions],
    });
    this.#threads.delete(key);
    this.inbox.removed(thread);
    return "removed";
  }

  async beat(worker: WorkerInfo): Promise<readonly Owned[]> {
    this.#workers.set(worker.id, { at: Date.now(), leaseMs: worker.leaseMs });
    return [...this.#threads.values()].flatMap(({ head, worker: owner, runs }) =>
      owner === worker.id && head.status === "running" && head.runId !== null
        ? [
            {
              ref: { tenant: head.tenant, threadId: head.threadId },
              runId: head.runId,
              epoch: head.epoch,
              stop: runs.get(head.runId)?.stop ?? null,
            },
          ]
        : [],
    );
  }

  async claim(
    worker: WorkerInfo,
    graphs: readonly string[],
    limit: number,
    others = true,
  ): Promise<readonly Claim[]> {
    const dead = new Set(
      [...this.#workers]
        .filter(([id, { at, leaseMs }]) => id !== worker.id && at < (others ? Date.now() - leaseMs : 0))
        .map(([id]) => id),
    );
    return takeRuns([...this.#threads.values()], worker, graphs, dead, limit);
  }

  async retire(workerId: string): Promise<void> {
    const worker = this.#workers.get(workerId);
    if (worker !== undefined) this.#workers.set(workerId, { ...worker, at: -Infinity });
  }

  async release(ref: ThreadRef, epoch: number, { inFlight }: { inFlight: boolean }): Promise<boolean> {
    const thread = this.#running(ref, epoch);
    if (thread === null) return false;
    thread.worker = null;
    thread.inFlight = inFlight;
    return true;
  }

  async log(ref: ThreadRef, after: number, limit: number): ReturnType<Checkpointer["log"]> {
    const entries = this.#threads.get(keyOf(ref))?.entries ?? [];
    let first = entries.length;
    while (first > 0 && (entries[first - 1]?.seq ?? 0) > after) first--;
    return entries.slice(first, first + limit).map(({ seq, runId, checkpointId, events, messages }) => ({
      seq,
      runId,
      checkpointId,
      events,
      messages,
    }));
  }

  async thread(ref: ThreadRef): Promise<ThreadHead | null> {
    return this.#threads.get(keyOf(ref))?.head ?? null;
  }

  async threads(
    tenant: string,
    filter: Parameters<Checkpointer["threads"]>[1],
    page: PageRequest,
  ): Promise<Page<ThreadHead>> {
    const heads = [...this.#threads.values()]
      .map((thread) => thread.head)
      .filter(
        (head) =>
          head.tenant === tenant &&
          (filter.statuses === null || filter.statuses.includes(head.status)) &&
          (filter.graph === null || head.graph === filter.graph),
      );
    return paginate(heads, page, -1, ["time", "string"], (head) => [head.createdAt, head.threadId]);
  }

  async run(ref: ThreadRef, runId: string): Promise<RunRecord | null> {
    return this.#threads.get(keyOf(ref))?.runs.get(runId) ?? null;
  }

  async runs(ref: ThreadRef, page: PageRequest): Promise<Page<RunRecord>> {
    return paginate(
      [...(this.#threads.get(keyOf(ref))?.runs.values() ?? [])],
      page,
      -1,
      ["integer", "string"],
      (run) => [run.firstSeq, run.runId],
    );
  }

  async messages(ref: ThreadRef, page: PageRequest): Promise<Page<Message>> {
    const context = this.#threads.get(keyOf(ref))?.context ?? [];
    const found = paginate(
      context.map((message, pos) => ({ message, pos })),
      page,
      1,
      ["integer"],
      ({ pos }) => [pos],
    );
    return { items: found.items.map(({ message }) => message), next: found.next };
  }

  async runMessages(ref: ThreadRef, runId: string): Promise<readonly Message[]> {
    const thread = this.#threads.get(keyOf(ref));
    return thread === undefined ? [] : messagesOfRun(thread, runId);
  }

  async interrupt(tenant: string, id: string): Promise<Interrupt | null> {
    return this.#interruptsOf(tenant).find((interrupt) => interrupt.id === id) ?? null;
  }

  async interrupts(
    tenant: string,
    filter: Parameters<Checkpointer["interrupts"]>[1],
    page: PageRequest,
  ): Promise<Page<Interrupt>> {
    const found = this.#interruptsOf(tenant).filter(
      (interrupt) =>
        interrupt.status === filter.status &&
        (filter.graph === null || interrupt.graph === filter.graph) &&
        (filter.threadId === null || interrupt.threadId === filter.threadId),
    );
    return paginate(found, page, -1, ["time", "string"], (interrupt) => [interrupt.createdAt, interrupt.id]);
  }

  async openedAt(ref: ThreadRef, seq: number): Promise<readonly Interrupt[]> {
    return (this.#threads.get(keyOf(ref))?.interrupts ?? []).filter((interrupt) => interrupt.seq === seq);
  }

  async checkpoints(ref: ThreadRef, page: PageRequest): ReturnType<Checkpointer["checkpoints"]> {
    const records = (this.#threads.get(keyOf(ref))?.entries ?? []).flatMap((entry) =>
      entry.checkpoint === null ? [] : [recordOf(entry.checkpoint)],
    );
    return paginate(records, page, -1, ["integer"], (record) => [record.seq]);
  }

  async decisionRecords(ref: ThreadRef): Promise<readonly DecisionRecord[]> {
    return (this.#tombstones.get(keyOf(ref))?.decisions ?? []).map(decisionRecord);
  }

  #running(ref: ThreadRef, epoch: number): StoredThread | null {
    const thread = this.#threads.get(keyOf(ref));
    return thread?.head.epoch === epoch && thread.head.status === "running" ? thread : null;
  }

  #interruptsOf(tenant: string): Interrupt[] {
    return [...this.#threads.values()]
      .filter((thread) => thread.head.tenant === tenant)
      .flatMap((thread) => thread.interrupts);
  }
}
