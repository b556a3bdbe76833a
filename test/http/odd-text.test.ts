/** What JSON can carry comes back exactly: NULs and lone surrogates too, which databases do not take as text. */
import { expect, it } from "vitest";
import { z } from "zod";
import { expectJson, expectList, onEveryStorage, unique, type Body } from "../support/http-server.js";
import { openStream } from "../support/sse.js";
import { openState, single } from "./graphs.js";

const ODD: [string, string][] = [
  ["a NUL", "a\u0000b"],
  ["a lone high surrogate", "a\ud800b"],
  ["a lone low surrogate", "\udc00"],
  ["both, and what looks like an escape", "\u0000\ud83d\\u0000\\\u0000\udfff"],
  ["everything else", "ä\u007f\u0080\u2028\ufeff\uffff😀\r\n\t\"\\'"],
];

onEveryStorage("odd text (invariant 11)", (server) => {
  it.each(ODD)("%s comes back exactly, wherever it was", async (_what, odd) => {
    const nested = { [odd]: [odd, { deep: odd }], plain: 1 };
    const seen: unknown[] = [];
    const graph = server.add(
      single(
        ({ value, text }, ctx) => {
          seen.push(value, text, ctx.answer?.data, ctx.answer?.reason);
          ctx.emit(odd, nested);
          return { text: `${text}${odd}`, messages: [{ role: "assistant", content: odd, metadata: nested }] };
        },
        openState,
        {
          interruptBefore: [{ node: "WORK", message: ({ text }) => `${text}?`, data: ({ value }) => value }],
        },
      ),
    );
    const thread = unique("t");
    const metadata = { note: nested };
    const made = await server.post("/threads", { thread_id: thread, graph, metadata });
    expect(expectJson(made, 201, "thread").metadata).toEqual(metadata);

    const message = {
      role: "user",
      id: `m-${odd}`,
      name: odd,
      content: [{ type: "text", text: odd, extra: nested }],
      metadata: nested,
      tool_calls: [nested],
    };
    const input = { messages: [odd, message], value: nested, text: odd, context_summary: odd };
    const run = expectJson(await server.post(`/threads/${thread}/run`, { input }), 200, "result");
    expect(run.status).toBe("interrupted_before");
    expect(run.state).toEqual({ value: nested, text: odd, context_summary: odd });
    expect(run.messages[0].content).toBe(odd);
    expect(run.messages[1]).toMatchObject(message);
    expect(run.interrupts[0]).toMatchObject({ message: `${odd}?`, data: nested });
    const again = await server.post(`/threads/${thread}/resume`, {
      decision: "deny",
      messages: [{ ...message, content: "other" }],
    });
    expect(again.status).toBe(422);

    const said = { decision: "approve", reason: odd, data: nested, messages: [odd] };
    const url = `/interrupts/${run.interrupts[0].id}`;
    const result = expectJson(await server.post(`${url}/decision`, said), 200, "result");
    expect(seen).toEqual([nested, odd, nested, odd]);
    expect(result.state.text).toBe(`${odd}${odd}`);
    expect(result.decision).toMatchObject({ reason: odd, data: nested });
    expect(expectJson(await server.post(`${url}/decision`, said), 200, "result")).toEqual(result);
    expect(expectJson(await server.get(url), 200, "interrupt").decision).toEqual(result.decision);

    const view = expectJson(await server.get(`/threads/${thread}`), 200, "thread");
    expect(view.metadata).toEqual(metadata);
    const state = expectJson(await server.get(`/threads/${thread}/state`), 200, "state");
    expect(state.state).toEqual(result.state);
    const messages = expectList(await server.get(`/threads/${thread}/messages`), "message").items;
    expect(messages.map(({ content }: Body) => content)).toEqual([odd, message.content, odd, odd]);
    expect(messages[1]).toMatchObject(message);

    const frames = await (await openStream(`${server.url}/threads/${thread}/stream?after=0`)).rest();
    const of = (name: string): Body[] =>
      frames.filter((each) => each.name === name).map(({ chunk }) => chunk);
    expect(of("message").map(({ data }) => data.message.content)).toEqual(
      messages.map(({ content }: Body) => content),
    );
    expect(of("custom").map(({ data }) => data)).toEqual([{ name: odd, value: nested }]);
    expect(of("decision")[0].data.decision).toEqual(result.decision);
    expect(of("end")[0].data.result).toEqual(result);
    expect(of("start")[0].data.input).toMatchObject({ value: nested, text: odd });
  });

  it.each(ODD)("%s in what a node asks, yields and throws comes back exactly", async (_what, odd) => {
    let fail = true;
    const graph = server.add(
      single(
        async function* (_state, ctx) {
          const { data } = await ctx.interrupt({ message: odd, data: { odd }, key: odd });
          yield odd;
          const kept = await ctx.once(odd, () => ({ odd, data }));
          if (fail) throw new Error(odd);
          return { text: kept.odd };
        },
        z.object({ text: z.string().default("") }),
      ),
    );
    const thread = unique("t");
    const asked = expectJson(await server.post(`/threads/${thread}/run`, { graph }), 200, "result");
    expect(asked.interrupts[0]).toMatchObject({ message: odd, reason: odd, data: { odd } });
    const failed = await server.post(`/threads/${thread}/resume`, { decision: "respond", data: odd });
    expect(expectJson(failed, 200, "result").error).toMatchObject({
      code: "node_failed",
      message: `WORK: ${odd}`,
    });
    fail = false;
    const result = expectJson(await server.post(`/threads/${thread}/resume`), 200, "result");
    expect(result).toMatchObject({ status: "completed", state: { text: odd } });
    const stopped = await server.post(`/threads/${thread}/stop`, { reason: odd });
    expect(stopped.status).toBe(200);
  });
});
