/** Turns what a resume says into answers to interrupts: which ones, whether they fit, and what they change. */
import type { Checkpointer, Loaded, ThreadRef } from "../checkpoint/checkpointer.js";
import { HoldpointError, invalid, notFound, type ValidationFault } from "../errors.js";
import {
  answerOf,
  checkAnswer,
  isSentState,
  placeOf,
  reachedTasks,
  type Answer,
  type AnswerRequest,
  type GraphDefinition,
  type Interrupt,
  type Message,
  type Place,
  type Said,
  type Snapshot,
  type Values,
} from "../engine/index.js";
import { isRecord, jsonCopy, jsonEqual, type Json } from "../lib/json.js";
import { isoNow } from "./ids.js";
import { requestMessages } from "./message-input.js";
import { checkFields } from "./request-input.js";
import { requireJson } from "./require-json.js";
import { checkData } from "./response-schema.js";

/** What is said of one interrupt; `path` is where in the request. */
export interface Bound {
  readonly id: string;
  readonly request: AnswerRequest;
  readonly path: string;
  /** It named its interrupt: a repetition of it gets the first outcome. */
  readonly byName: boolean;
}

/**
 * Binds what came in to interrupts, once, on arrival: a bare answer means the one that is open now, never the next one.
 * Throws `ambiguous_interrupt`, `interrupt_id_required`, `validation_failed`.
 */
export function bindAnswers(
  answers: readonly AnswerRequest[],
  open: readonly Interrupt[],
  listed: boolean,
): Bound[] {
  const bound = answers.map((request, i): Bound => {
    const path = listed ? `answers[${i}]` : "";
    if (request.interruptId !== undefined) return { id: request.interruptId, request, path, byName: true };
    if (listed)
      throw invalid([
        { path: `${path}.interrupt_id`, message: "each of several answers names its interrupt" },
      ]);
    const [only, ...others] = open;
    if (only === undefined) throw new HoldpointError("not_resumable", "no interrupt is open on this thread");
    if (others.length > 0) {
      throw new HoldpointError(
        "ambiguous_interrupt",
        `${open.length} interrupts are open: name one by interrupt_id, or answer several by answers`,
        { interrupts: open },
      );
    }
    if (only.named) {
      throw new HoldpointError(
        "interrupt_id_required",
        `this interrupt must be answered by its id: interrupt_id "${only.id}"`,
        { interrupts: open },
      );
    }
    return { id: only.id, request, path, byName: false };
  });
  const twice = bound.find(({ id }, i) => bound.findIndex((other) => other.id === id) < i);
  if (twice !== undefined)
    throw invalid([
      { path: `${twice.path}.interrupt_id`, message: "this interrupt is answered twice in one request" },
    ]);
  return bound;
}

export type Standing =
  | { readonly kind: "open"; readonly interrupt: Interrupt; readonly bound: Bound }
  /** Said before, by the same person in the same words: the first outcome stands. */
  | { readonly kind: "repeated"; readonly interrupt: Interrupt };

/**
 * How each interrupt stands: as it was loaded with the thread, else as it is stored. Throws `not_found`, `already_decided`, `interrupt_cancelled`,
 * `interrupt_expired`.
 */
export async function standings(
  checkpointer: Checkpointer,
  ref: ThreadRef,
  loaded: readonly Interrupt[],
  bound: readonly Bound[],
  by: string,
  def: GraphDefinition | undefined,
): Promise<Standing[]> {
  return Promise.all(
    bound.map(async (each): Promise<Standing> => {
      const interrupt =
        loaded.find(({ id }) => id === each.id) ?? (await checkpointer.interrupt(ref.tenant, each.id));
      if (interrupt === null || interrupt.threadId !== ref.threadId)
        throw notFound(`no interrupt of this thread has the id ${JSON.stringify(each.id)}`);
      if (interrupt.status === "open") return { kind: "open", interrupt, bound: each };
      if (interrupt.status === "cancelled") {
        throw new HoldpointError(
          "interrupt_cancelled",
          "a stop, or the expiry of another interrupt, cancelled this one; resume the thread to be asked again",
          { interrupt_id: interrupt.id },
        );
      }
      if (interrupt.status === "expired") throw expired(interrupt);
      if (each.byName && interrupt.decision !== null && sameAnswer(interrupt.decision, each.request, by, def))
        return { kind: "repeated", interrupt };
      const { decision } = interrupt;
      const who =
        decision === null
          ? ""
          : ` ${decision.by} decided ${decision.decision === null ? "to go on" : `"${decision.decision}"`} at ${decision.at}.`;
      throw new HoldpointError("already_decided", `this interrupt was answered already.${who}`, { decision });
    }),
  );
}

function expired({ id, decision, decidedAt }: Interrupt): HoldpointError {
  const then =
    decision === null
      ? "its thread failed of it; resume the thread to be asked again"
      : `the answer was "${decision.decision ?? ""}", by its hold point's onExpiry`;
  return new HoldpointError(
    "interrupt_expired",
    `nobody answered this interrupt in time, and at ${decidedAt ?? ""} it expired: ${then}`,
    { interrupt_id: id, decision },
  );
}

function sameAnswer(
  answer: Answer,
  request: AnswerRequest,
  by: string,
  def: GraphDefinition | undefined,
): boolean {
  const messages = (request.messages ?? []).map((message) =>
    typeof message === "string" ? { role: "user", content: message } : message,
  );
  return (
    answer.by === by &&
    answer.decision === (request.decision ?? null) &&
    answer.reason === (request.reason ?? null) &&
    jsonEqual(answer.data, request.data ?? null) &&
    samePatch(answer.state, patchOf(request), def) &&
    answer.messages.length === messages.length &&
    messages.every((message, i) => jsonEqual({ ...answer.messages[i], ...message }, answer.messages[i]))
  );
}

/** The same as it came in, or as the schema makes it, which is how it was stored. */
function samePatch(
  stored: Answer["state"],
  given: Record<string, unknown> | null,
  def: GraphDefinition | undefined,
): boolean {
  if (jsonEqual(stored, given)) return true;
  if (given === null || def === undefined) return false;
  try {
    return jsonEqual(stored, checkFields(def, given, "", "patch"));
  } catch {
    return false;
  }
}

/** A patch of no field is none. */
function patchOf({ state }: AnswerRequest): Record<string, unknown> | null {
  return state === undefined || Object.keys(state).length === 0 ? null : state;
}

/** Answers that their interrupts take, in the order given. Throws 422 for the first that is none, with every fault of it. */
export function makeAnswers(
  def: GraphDefinition,
  { snapshot, interrupts }: Pick<Loaded, "snapshot" | "interrupts">,
  open: readonly (Standing & { kind: "open" })[],
  by: string,
): Answer[] {
  const answers: Answer[] = [];
  // Messages of answers that wait for others are in no state yet, and are not to be replaced.
  const waiting = interrupts.flatMap(({ decision }) => decision?.messages ?? []);
  for (const each of open) {
    const now = answers.flatMap(({ messages }) => messages);
    answers.push(makeAnswer(def, snapshot, [...snapshot.messages, ...waiting, ...now], each, by));
  }
  return answers;
}

function makeAnswer(
  def: GraphDefinition,
  snapshot: Snapshot,
  context: readonly Message[],
  { interrupt, bound }: Standing & { kind: "open" },
  by: string,
): Answer {
  const { request, path } = bound;
  const at = (rest: string): string => (path === "" ? rest : `${path}.${rest}`);
  const decision = request.decision ?? null;
  const state = patchOf(request);

  const refused = checkAnswer(interrupt, { decision, hasState: state !== null });
  if (refused === "decision_required") {
    throw new HoldpointError(
      "decision_required",
      `this interrupt demands a decision: one of ${interrupt.decisions.join(", ")}`,
      { interrupts: [interrupt] },
    );
  }
  const faults: ValidationFault[] = [];
  if (refused !== null) faults.push({ ...refused, path: at(refused.path) });
  requireJson(request.data ?? null, at("data"));
  const data = jsonCopy((request.data ?? null) as Json);
  if (decision !== "deny")
    faults.push(
      ...checkData(interrupt.responseSchema, data).map((fault) => ({ ...fault, path: at(fault.path) })),
    );
  if (faults.length > 0) throw invalid(faults);

  const place = placeOf(def, snapshot, interrupt.taskId);
  return {
    interruptId: interrupt.id,
    decision,
    reason: request.reason ?? null,
    data,
    state: state === null ? null : checkPatch(def, place, interrupt.kind, state, at("state")),
    messages: requestMessages(request.messages ?? [], context, at("messages")),
    by,
    at: isoNow(),
  };
}

/** An answer that was given, and what it is about. */
export interface Given extends Said {
  readonly answer: Answer;
}

/** The answers to what the thread's tasks ask, in task order, given before or `now`; and whether one is missing. */
export function givenAnswers(
  { snapshot, interrupts }: Pick<Loaded, "snapshot" | "interrupts">,
  now: readonly Answer[],
): { readonly given: readonly Given[]; readonly complete: boolean } {
  const given: Given[] = [];
  let complete = true;
  for (const task of reachedTasks(snapshot.position.tasks)) {
    // What asks for its output has not been asked: its step is not closed.
    if (task.stage === "done") continue;
    for (const ask of task.asks ?? []) {
      const row = interrupts.findLast((each) => each.taskId === task.id && each.key === ask.key);
      const earlier = row === undefined ? null : answerOf(row);
      const answer = now.find((each) => each.interruptId === row?.id) ?? earlier;
      if (answer === null) complete = false;
      else {
        const { messages, state } = answer;
        given.push({ answer, messages, state, about: { taskId: task.id, kind: ask.kind } });
      }
    }
  }
  return { given, complete };
}

/** A patch of what the paused node sees: its graph's state, or what a `Send` gave it, which has no schema. */
function checkPatch(
  def: GraphDefinition,
  place: Place | null,
  kind: Interrupt["kind"],
  state: Record<string, unknown>,
  path: string,
): Values {
  if (place === null || !isSentState(place.task, kind))
    return checkFields(place?.scope.def ?? def, state, path, "patch");
  if (!isRecord(place.task.sent?.value))
    throw invalid([
      { path, message: `what ${place.task.node} was sent is no object: it has no fields to patch` },
    ]);
  requireJson(state, path);
  return jsonCopy(state as Values);
}
