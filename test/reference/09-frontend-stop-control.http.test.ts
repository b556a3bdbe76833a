import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { chat } from "../../examples/chat.js";
import { names, type Frame, type SseReader } from "../support/sse.js";
import { onServers } from "./http.js";

/** So long that no reply to it ends before somebody stops it. */
const LONG = `${"word ".repeat(20_000)}last`;

beforeEach(() => void vi.stubEnv("CHAT_DELAY_MS", "1"));
afterEach(() => void vi.unstubAllEnvs());

const deltas = (frames: readonly Frame[]): string =>
  frames
    .filter(({ name }) => name === "delta")
    .map(({ chunk }) => chunk.content as string)
    .join("");

/** Reads until so many words were heard. */
async function words(reader: SseReader, many: number): Promise<Frame[]> {
  const heard: Frame[] = [];
  for (let i = 0; i < many; i++) heard.push(...(await reader.until("delta")));
  return heard;
}

onServers({ chat }, (api) => {
  it("stopped half-way from another connection, the stream ends with `stopped` and what was said is kept", async () => {
    const frontend = await api.stream("c1/stream", { graph: "chat", input: { messages: [LONG] } });
    const heard = await words(frontend, 5);
    const details = await api.stop("c1", { reason: "the stop button" });
    expect(details).toMatchObject({
      ok: true,
      running: true,
      status: "stopped",
      node: "CHAT",
      abandoned: [],
    });

    heard.push(...(await frontend.rest()));
    expect(names(heard).filter((name) => ["stopped", "end", "failed"].includes(name))).toEqual(["stopped"]);
    expect(heard.at(-1)).toMatchObject({
      name: "stopped",
      id: details.seq,
      chunk: { data: { result: { status: "stopped", error: null } } },
    });
    const said = deltas(heard);
    expect(said).toMatch(/^You said: "word word /);
    expect(said).not.toContain("last");
    expect(await api.said("c1")).toEqual([LONG, said]);
    expect((await api.thread("c1")).status).toBe("stopped");
  });

  it("a resume goes on behind the kept half, and a new message is answered as ever", async () => {
    const frontend = await api.stream("c2/stream", { graph: "chat", input: { messages: [LONG] } });
    await words(frontend, 3);
    await api.stop("c2");
    await frontend.rest();
    const half = (await api.said("c2"))[1];

    vi.stubEnv("CHAT_DELAY_MS", "0");
    const resumed = await api.resume("c2");
    expect(resumed).toMatchObject({ status: "completed", messages: [] });
    expect(await api.said("c2")).toEqual([LONG, half]);

    const next = await (await api.stream("c2/stream", { input: { messages: ["Again"] } })).rest();
    expect(names(next).at(-1)).toBe("end");
    expect(deltas(next)).toMatch(/^You said: "Again".*how far this one came\.$/);
    expect(await api.said("c2")).toEqual([LONG, half, "Again", deltas(next)]);
  });

  it("two tabs watch and both press stop: both are told, both streams end, the run is stopped once", async () => {
    const one = await api.stream("c4/stream", { graph: "chat", input: { messages: [LONG] } });
    await words(one, 2);
    const other = await api.stream("c4/stream");
    await words(other, 2);
    const receipts = await Promise.all([api.stop("c4"), api.stop("c4")]);
    for (const receipt of receipts) expect(receipt.ok).toBe(true);
    expect(receipts.some(({ status }) => status === "stopped")).toBe(true);
    const ends = [await one.rest(), await other.rest()].map((frames) => frames.at(-1));
    expect(ends[0]).toMatchObject({ name: "stopped" });
    expect(ends[1]).toEqual(ends[0]);
    const replay = await (await api.stream("c4/stream?after=0")).rest();
    expect(names(replay).filter((name) => name === "stopped")).toHaveLength(1);
  });
});
