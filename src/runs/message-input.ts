import { z } from "zod";
import { HoldpointError, invalid, type ValidationFault } from "../errors.js";
import { ROLES, type Message, type NewMessage, type Role } from "../engine/index.js";
import { deepFreeze } from "../lib/deep-freeze.js";
import { isRecord, jsonCopy, jsonEqual, jsonFault } from "../lib/json.js";
import { isoNow, newId } from "./ids.js";
import { requireJson } from "./require-json.js";

/** A message as it comes in, from HTTP or from a node: the one schema of both. That its values are JSON is checked apart. */
export const newMessageSchema = z.strictObject({
  id: z.string().min(1).max(200).optional(),
  role: z.enum(ROLES),
  content: z.union([z.string(), z.array(z.looseObject({ type: z.string() }))]),
  name: z.string().optional(),
  tool_calls: z.array(z.unknown()).optional(),
  tool_call_id: z.string().optional(),
  metadata: z.record(z.string(), z.unknown()).optional(),
  created_at: z.iso.datetime({ offset: true }).optional(),
});

/** Whether a value means a message rather than an update: it has a role and a content. */
export function looksLikeMessage(value: unknown): value is NewMessage {
  return isRecord(value) && "role" in value && "content" in value;
}

/** A message with its id and time, frozen; or why it is none. A string is one of `role`. */
export function toMessage(
  given: unknown,
  role: Role,
  path: string,
  id?: string,
): Message | ValidationFault[] {
  const value: unknown = typeof given === "string" ? { role, content: given } : given;
  // Before the schema: it would recurse into what nests too deeply.
  const fault = jsonFault(value, path);
  if (fault !== null) return [{ path: fault.path, message: fault.problem }];
  const parsed = newMessageSchema.safeParse(value);
  if (!parsed.success) {
    return parsed.error.issues.map((issue) => ({
      path: [path, ...issue.path].filter((part) => part !== "").join("."),
      message: issue.message,
    }));
  }
  const { id: givenId, role: itsRole, content, created_at, ...rest } = jsonCopy(parsed.data) as NewMessage;
  return deepFreeze({
    id: givenId ?? id ?? newId(),
    role: itsRole,
    content,
    ...rest,
    created_at: created_at ?? isoNow(),
  });
}

/**
 * Messages of a request: one whose id is in the thread already is left out if it is the same. Throws `message_exists` for
 * another one of a known id, `validation_failed` for what is no message, `too_deep` and `not_serialisable` for what is no
 * JSON.
 */
export function requestMessages(
  given: readonly unknown[],
  context: readonly Message[],
  path: string,
): Message[] {
  const messages: Message[] = [];
  const faults: ValidationFault[] = [];
  for (const [i, each] of given.entries()) {
    requireJson(each, `${path}[${i}]`);
    const message = toMessage(each, "user", `${path}[${i}]`);
    if (Array.isArray(message)) faults.push(...message);
    else {
      const isIt = ({ id }: Message): boolean => id === message.id;
      const known = context.find(isIt) ?? messages.find(isIt);
      if (known === undefined) messages.push(message);
      else if (!sameMessage(known, message, isRecord(each) && "created_at" in each)) {
        const says = `${path}[${i}].id: another message of the id "${message.id}" is in the thread`;
        throw new HoldpointError("message_exists", says, {
          errors: [{ path: `${path}[${i}].id`, message: says }],
        });
      }
    }
  }
  if (faults.length > 0) throw invalid(faults);
  return messages;
}

/** Whether they are one message; its time counts where the sender gave it. */
export function sameMessage(a: Message, b: Message, withTime: boolean): boolean {
  return jsonEqual(a, withTime ? b : { ...b, created_at: a.created_at });
}
