/** The events of a stream, each type with its data. */
import { z } from "zod";
import { EVENT_SOURCES, type EventType } from "../../engine/index.js";
import { decisionModel, interruptModel, messageModel, model, runResultModel } from "./models.js";

const integer = z.number().int();
const object = z.record(z.string(), z.unknown());
const ended = z.object({ result: runResultModel });

const eventOf = <Type extends EventType, Data extends z.ZodType>(name: string, type: Type, data: Data) =>
  model(
    `${name}Event`,
    z.object({
      event: z.enum(EVENT_SOURCES),
      event_type: z.literal(type),
      node_name: z.string().nullable(),
      path: z.array(z.string()),
      content: z.string(),
      data,
      thread_id: z.string(),
      run_id: z.string().nullable(),
      seq: integer,
      timestamp: z.iso.datetime(),
      metadata: object,
    }),
  );

export const eventModel = model(
  "Event",
  z.discriminatedUnion("event_type", [
    eventOf("Start", "start", z.object({ input: object, resumes: z.boolean() })),
    eventOf("Progress", "progress", z.object({ step: integer, attempt: integer })),
    eventOf("Delta", "delta", z.object({ message_id: z.string(), part: z.literal("text") })),
    eventOf("Message", "message", z.object({ message: messageModel })),
    eventOf("Custom", "custom", z.object({ name: z.string(), value: z.unknown() })),
    eventOf(
      "Update",
      "update",
      z.object({
        step: integer,
        checkpoint_id: z.string(),
        changed: z.array(z.string()),
        next_nodes: z.array(z.string()),
      }),
    ),
    eventOf(
      "Decision",
      "decision",
      z.object({ interrupt: interruptModel, decision: decisionModel.nullable() }),
    ),
    eventOf(
      "Restart",
      "restart",
      z.object({ step: integer, node: z.string(), path: z.array(z.string()), attempt: integer }),
    ),
    eventOf(
      "Interrupted",
      "interrupted",
      z.object({ result: runResultModel, interrupted: z.enum(["before", "after"]) }),
    ),
    eventOf("Stopped", "stopped", ended),
    eventOf("Error", "error", ended),
    eventOf("End", "end", ended),
  ]),
);
