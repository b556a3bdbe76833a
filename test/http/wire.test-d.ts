/** The wire has the engine's shapes, key by key in snake_case, and its words: neither can change without the other. */
import { describe, expectTypeOf, it } from "vitest";
import type { z } from "zod";
import type { StopMode, ThreadHead } from "../../src/checkpoint/checkpointer.js";
import type {
  Answer,
  EventSourceName,
  EventType,
  ExecutionMeta,
  Interrupt,
  Message,
  NewMessage,
  NodeOptions,
  RunEvent,
  RunFault,
  RunResult,
} from "../../src/engine/index.js";
import type * as bodies from "../../src/http/schemas/bodies.js";
import type * as events from "../../src/http/schemas/events.js";
import type * as models from "../../src/http/schemas/models.js";
import type { newMessageSchema, ResumeRequest, StateView, StopReceipt } from "../../src/runs/index.js";

type Snake<S extends string> = S extends `${infer Head}${infer Tail}`
  ? Head extends Lowercase<Head>
    ? `${Head}${Snake<Tail>}`
    : `_${Lowercase<Head>}${Snake<Tail>}`
  : S;
/** The keys of a type of the library, as the wire spells them. */
type Keys<T> = Snake<Extract<keyof T, string>>;
type Wire<Model extends z.ZodType> = z.output<Model>;
type Body<Schema extends z.ZodType> = z.output<Schema>;

describe("the keys of", () => {
  it("a message", () => {
    expectTypeOf<keyof Wire<typeof models.messageModel>>().toEqualTypeOf<keyof Message>();
    expectTypeOf<keyof Body<typeof newMessageSchema>>().toEqualTypeOf<keyof NewMessage>();
  });

  it("a decision", () => {
    expectTypeOf<keyof Wire<typeof models.decisionModel>>().toEqualTypeOf<Keys<Answer>>();
  });

  it("an interrupt, which keeps to itself what only the engine needs and has what is to come", () => {
    type Own = "taskId" | "key" | "pauses" | "named" | "plain" | "seq" | "resumedBy";
    type Inside = Own | "expiresIn" | "onExpiry";
    type ToCome = "approvals_required" | "approvals" | "tool_call_id";
    expectTypeOf<keyof Wire<typeof models.interruptModel>>().toEqualTypeOf<
      Keys<Omit<Interrupt, Inside>> | ToCome
    >();
  });

  it("a result and its fault", () => {
    type Result = Wire<typeof models.runResultModel>;
    expectTypeOf<keyof Result>().toEqualTypeOf<Keys<RunResult>>();
    expectTypeOf<keyof NonNullable<Result["error"]>>().toEqualTypeOf<Keys<RunFault>>();
  });

  it("an event", () => {
    expectTypeOf<keyof Wire<typeof events.eventModel>>().toEqualTypeOf<Keys<RunEvent>>();
  });

  it("a stop's receipt", () => {
    expectTypeOf<keyof Wire<typeof models.stopReceiptModel>>().toEqualTypeOf<Keys<StopReceipt>>();
  });

  it("a thread", () => {
    type Inside = "tenant" | "epoch" | "limit" | "checkpointId" | "interruptReason" | "logFloor" | "queued";
    expectTypeOf<keyof Wire<typeof models.threadModel>>().toEqualTypeOf<
      Keys<Omit<ThreadHead, Inside>> | "interrupts" | "links"
    >();
  });

  it("a state and its meta", () => {
    type State = Wire<typeof models.stateModel>;
    expectTypeOf<keyof State>().toEqualTypeOf<Keys<Omit<StateView, "messages">>>();
    expectTypeOf<keyof State["execution_meta"]>().toEqualTypeOf<Keys<Omit<ExecutionMeta, "isInterrupted">>>();
  });

  it("an answer, by itself and in a list", () => {
    type Resume = Body<typeof bodies.resumeBody>;
    type Own = "interruptId" | "decision" | "reason" | "data" | "state" | "messages";
    expectTypeOf<Keys<Pick<ResumeRequest, Own>>>().toEqualTypeOf<
      keyof NonNullable<Resume["answers"]>[number]
    >();
    expectTypeOf<Keys<Pick<ResumeRequest, Own | "answers" | "config">> | "goto">().toEqualTypeOf<
      keyof Resume
    >();
  });
});

describe("the words of", () => {
  it("statuses", () => {
    expectTypeOf<Wire<typeof models.runResultModel>["status"]>().toEqualTypeOf<RunResult["status"]>();
    expectTypeOf<Wire<typeof models.threadModel>["status"]>().toEqualTypeOf<ThreadHead["status"]>();
    expectTypeOf<Wire<typeof models.stateModel>["status"]>().toEqualTypeOf<StateView["status"]>();
    expectTypeOf<Wire<typeof models.interruptModel>["status"]>().toEqualTypeOf<Interrupt["status"]>();
  });

  it("interrupts and decisions", () => {
    type Asked = Wire<typeof models.interruptModel>;
    expectTypeOf<Asked["kind"]>().toEqualTypeOf<Interrupt["kind"]>();
    expectTypeOf<Asked["decisions"][number]>().toEqualTypeOf<Interrupt["decisions"][number]>();
    expectTypeOf<Wire<typeof models.decisionModel>["decision"]>().toEqualTypeOf<Answer["decision"]>();
    expectTypeOf<Body<typeof bodies.decisionBody>["decision"]>().toEqualTypeOf<ResumeRequest["decision"]>();
  });

  it("events and messages", () => {
    expectTypeOf<Wire<typeof events.eventModel>["event"]>().toEqualTypeOf<EventSourceName>();
    expectTypeOf<Wire<typeof events.eventModel>["event_type"]>().toEqualTypeOf<EventType>();
    expectTypeOf<Wire<typeof models.messageModel>["role"]>().toEqualTypeOf<Message["role"]>();
  });

  it("stops", () => {
    expectTypeOf<Body<typeof bodies.stopBody>["mode"]>().toEqualTypeOf<StopMode>();
    type Receipt = Wire<typeof models.stopReceiptModel>;
    expectTypeOf<Receipt["status"]>().toEqualTypeOf<StopReceipt["status"] | undefined>();
    expectTypeOf<Receipt["reason"]>().toEqualTypeOf<StopReceipt["reason"] | undefined>();
  });

  it("crashes", () => {
    type Node = Wire<typeof models.graphModel>["nodes"][number];
    expectTypeOf<Node["on_crash"]>().toEqualTypeOf<NonNullable<NodeOptions["onCrash"]>>();
  });
});
