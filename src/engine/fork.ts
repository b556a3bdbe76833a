/**
 * Where a fork stands: the position of a checkpoint without anything that a person has said of it. What it keeps:
 *
 * F1. What has run stays: results, closed steps, and the ways that were taken, a denial's included.
 * F2. What still lies ahead is asked again: hold points that were passed or denied, questions, lost attempts. A visit that
 *     was held is held, and `when` is not asked for it.
 */
import type { Ask } from "./interrupt.js";
import { asksItself, isOwnAnswer } from "./plan.js";
import type { Position, Stage, Task } from "./snapshot.js";

/** The position of a thread that is made of this one. */
export function forkPosition({ tasks, holds }: Position): Position {
  return { tasks: tasks.map(forkTask), holds };
}

function forkTask(task: Task): Task {
  switch (task.stage) {
    case "due":
    case "cleared":
      return aheadOf(task);
    case "done":
      return isTaken(task) ? settled(task) : aheadOf(task);
    case "after":
      return settled(task);
    case "route":
      if (task.closed === true) return behindOf(task);
      return isTaken(task) ? settled(task) : aheadOf(task);
  }
}

/** It has a result, or a nested graph of it came to its end in a denial: that way was taken inside. */
const isTaken = ({ denied, deniedInside, answered }: Task): boolean =>
  denied === undefined || (deniedInside === true && answered !== true);

/** Readers of the fork have seen none of its deltas. */
function settled({ streamed: _streamed, ...task }: Task): Task {
  return task;
}

/** A visit that is to come, or to come again: its hold point and its lost attempts are asked before its node runs. */
function aheadOf(given: Task): Task {
  const { asks = [], decided = [], inner } = given;
  const known = asks.filter((ask) => !asksItself(ask));
  const before = [
    ...decided.filter(({ pauses, kind }) => pauses === "before" && known.every((ask) => ask.kind !== kind)),
    ...known,
  ];
  // A node with earlier answers, or one that is held first, asks its questions in their order when it runs.
  const isFirst = before.length === 0 && given.answered === undefined && given.denied === undefined;
  const open = isFirst ? asks : before;
  const held = open.some(({ kind }) => kind === "before");
  const stage: Stage = held || given.stage === "due" ? "due" : "cleared";
  return {
    ...visitOf(given),
    stage,
    ...(held ? { judged: true as const } : {}),
    ...asking(open),
    ...(inner === undefined ? {} : { inner: { ...inner, tasks: inner.tasks.map(forkTask) } }),
  };
}

/** A step that is closed: the hold point behind it is asked again where it was answered. */
function behindOf(given: Task): Task {
  const after = (given.decided ?? []).filter(({ pauses }) => pauses === "after");
  if (after.length === 0) return settled(given);
  const { denied: _denied, deniedInside: _inside, decided: _decided, ...task } = settled(given);
  return { ...task, stage: "after", judged: true, ...asking(after) };
}

/** A task as it was before anybody said anything of it. */
function visitOf(task: Task): Task {
  const { id, node, path, stage, sent, attempts } = task;
  const answer = task.cameBy ?? (isOwnAnswer(task) ? undefined : task.answer);
  return {
    id,
    node,
    path,
    stage,
    attempts,
    ...(sent === undefined ? {} : { sent }),
    ...(answer === undefined ? {} : { answer }),
  };
}

const asking = (asks: readonly Ask[]): Pick<Task, "asks"> => (asks.length === 0 ? {} : { asks });
