/**
 * Writes that are ready at the same moment go to the database together: one statement, one transaction, one flush of the
 * write-ahead log. There is no timer: while groups are under way the next one fills up, and a lone write goes at once.
 *
 * G1. A group has its members in the order of their keys; the statement makes the threads that are to be made in that order, then
 *     locks those that are there: groups of different processes wait for each other, never in a circle.
 * G2. Two writes of one thread are never in one group, nor in two at the same time: they reach the database as they came.
 * G3. A refusal (fenced, moved, stopping) is an answer, and its member's alone. An error undoes the whole group; then its
 *     members are sent one by one, so that only the guilty one fails. The database being away is nobody's guilt: all
 *     fail with it, and whoever sends again is told what was committed.
 *
 * Measured on 2 cores, alternating with ungrouped writes (PostgreSQL 15, fsync on; a step of 3 events and 1 message): a lone
 * step takes 0.92 ms instead of 0.88; 32 threads commit 3 400 steps/s instead of 2 300, and on the embedded database 1 900
 * instead of 830. In two halves the 32 threads take 310 us a step instead of 376; in thirds 333.
 */
import { isAway } from "../../errors.js";

/** A write as the database takes it. */
export interface GroupMember {
  /** Characters, about. */
  readonly size: number;
}

export interface GroupLimits {
  /** Members of a group at the most. Default 64. */
  readonly members: number;
  /** Characters of all members at the most; a larger write goes by itself. Default 1 000 000. */
  readonly size: number;
  /** Milliseconds after which a group under way, which waits for a lock or is large, no longer keeps others. Default 50. */
  readonly patienceMs: number;
  /** Groups under way at the most, so that those that wait for locks leave connections to others. Default 4. */
  readonly lanes: number;
  /** Of these, such as are under way for no longer than that. Default 2; 1 for a database that does one thing at a time. */
  readonly quick: number;
}

/** Writes at once that go as two groups instead of one. */
const MANY = 24;
/** Writes at the least for which a second group goes beside one that is under way. */
const SOME = 8;

interface Waiting<Member, Answer> {
  /** Names its thread. */
  readonly key: string;
  readonly member: Member;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

interface Lane {
  /** When its group was sent, by `performance.now()`. */
  readonly since: number;
  readonly members: number;
  /** Set as soon as somebody waits. */
  patience: NodeJS.Timeout | null;
}

/** Groups what is written through it; `send` commits a list of members and gives their answers in the same order. */
export class GroupCommit<Member extends GroupMember, Answer> {
  readonly #send: (members: readonly Member[]) => Promise<readonly Answer[]>;
  readonly #limits: GroupLimits;
  #waiting: Waiting<Member, Answer>[] = [];
  /** Threads with a write under way. */
  readonly #busy = new Set<string>();
  #lanes = 0;
  /** Lanes whose group is under way for longer than one has patience. */
  #slow = 0;
  /** The other ones. */
  readonly #quick = new Set<Lane>();
  /** The last group had one member. */
  #alone = true;
  #starting = false;

  constructor(
    send: (members: readonly Member[]) => Promise<readonly Answer[]>,
    limits: Partial<GroupLimits> = {},
  ) {
    this.#send = send;
    this.#limits = { members: 64, size: 1_000_000, patienceMs: 50, lanes: 4, quick: 2, ...limits };
  }

  /** The member's own answer or error, once its group was committed or refused. */
  write(key: string, member: Member): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, member, resolve, reject });
      this.#startSoon();
    });
  }

  /**
   * What becomes ready in the same turn goes together: of the event loop, where writes come in numbers; of what follows from
   * one event, where the last one went alone. A lone write does not wait for the loop's other work.
   */
  #startSoon(): void {
    if (this.#starting) return;
    this.#starting = true;
    const start = (): void => {
      this.#starting = false;
      this.#start();
    };
    if (this.#alone && this.#lanes === 0) process.nextTick(start);
    else setImmediate(start);
  }

  #start(): void {
    while (this.#waiting.length > 0) {
      const most = this.#room();
      const group = most === 0 ? [] : this.#take(most);
      if (group.length === 0) break;
      void this.#run(group);
    }
    if (this.#waiting.length > 0) this.#losePatience();
  }

  /**
   * How many may go now: while the database works on one half of many, this process works on what the other half came to. A
   * second group that is smaller than the first would only be one more transaction.
   */
  #room(): number {
    const { members, lanes, quick } = this.#limits;
    const waiting = this.#waiting.length;
    if (this.#lanes >= lanes) return 0;
    if (this.#quick.size === 0) return quick > 1 && waiting >= MANY ? Math.ceil(waiting / 2) : members;
    if (this.#quick.size >= quick) return 0;
    for (const lane of this.#quick) if (waiting < Math.max(SOME, lane.members)) return 0;
    return members;
  }

  /** Somebody waits: for the groups that are under way, but not longer than one has patience. */
  #losePatience(): void {
    for (const lane of this.#quick) {
      lane.patience ??= setTimeout(
        () => {
          this.#quick.delete(lane);
          this.#slow++;
          this.#start();
        },
        Math.max(0, lane.since + this.#limits.patienceMs - performance.now()),
      );
    }
  }

  /** The next group, in the order of arrival, as far as the limits and G2 let it. */
  #take(most: number): Waiting<Member, Answer>[] {
    const group: Waiting<Member, Answer>[] = [];
    const left: Waiting<Member, Answer>[] = [];
    const seen = new Set<string>();
    let size = 0;
    let full = false;
    for (const waiting of this.#waiting) {
      const { key, member } = waiting;
      const taken = seen.has(key) || this.#busy.has(key);
      seen.add(key);
      // Who does not fit is first of the next group: a large one is not passed by for ever.
      full =
        full ||
        group.length >= Math.min(most, this.#limits.members) ||
        (!taken && group.length > 0 && size + member.size > this.#limits.size);
      if (taken || full) left.push(waiting);
      else {
        group.push(waiting);
        size += member.size;
      }
    }
    this.#waiting = left;
    return group;
  }

  async #run(group: readonly Waiting<Member, Answer>[]): Promise<void> {
    this.#lanes++;
    this.#alone = group.length === 1;
    for (const { key } of group) this.#busy.add(key);
    const lane: Lane = { since: performance.now(), members: group.length, patience: null };
    this.#quick.add(lane);
    const sorted = group.length === 1 ? group : group.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    const failed = await this.#attempt(sorted);
    if (failed !== null) await this.#apart(sorted, failed.error);
    if (lane.patience !== null) clearTimeout(lane.patience);
    if (!this.#quick.delete(lane)) this.#slow--;
    this.#lanes--;
    for (const { key } of group) this.#busy.delete(key);
    if (this.#waiting.length > 0) this.#startSoon();
  }

  /** Answers every member of a group that failed (G3). */
  async #apart(group: readonly Waiting<Member, Answer>[], error: unknown): Promise<void> {
    let away = isAway(error) || group.length === 1 ? error : null;
    for (const waiting of group) {
      if (away !== null) {
        waiting.reject(away);
        continue;
      }
      const alone = await this.#attempt([waiting]);
      if (alone === null) continue;
      waiting.reject(alone.error);
      if (isAway(alone.error)) away = alone.error;
    }
  }

  /** Commits a group and answers its members; or says why nothing of it was committed. */
  async #attempt(group: readonly Waiting<Member, Answer>[]): Promise<{ readonly error: unknown } | null> {
    try {
      const answers = await this.#send(group.map(({ member }) => member));
      for (const [i, { resolve }] of group.entries()) resolve(answers[i] as Answer);
      return null;
    } catch (error) {
      return { error };
    }
  }
}
