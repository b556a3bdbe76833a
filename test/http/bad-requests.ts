/** The rows of bad-input.test.ts: what is sent, and how it is refused. `:name` in a path or body is filled in there. */
export interface BadRequest {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  /** A string is sent as it is. */
  readonly body?: unknown;
  readonly status: number;
  readonly code: string;
  /** Words that the detail must have. */
  readonly says?: string;
}

const row = (what: string, request: string, body: unknown, answer: string, says?: string): BadRequest => {
  const [method = "", path = ""] = request.split(/ (.*)/s);
  const [status = "", code = ""] = answer.split(" ");
  return {
    what,
    method,
    path,
    ...(body === undefined ? {} : { body }),
    status: Number(status),
    code,
    ...(says === undefined ? {} : { says }),
  };
};

const none = undefined;
const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const INVALID = "422 validation_failed";
const LOSSY = "422 not_serialisable";
const RUN = "POST /threads/done/run";
const RESUME = "POST /threads/paused/resume";
const DECIDE = "POST /interrupts/:interrupt/decision";
const PATCH = "PATCH /threads/done/state";
const UUID = "01890000-0000-7000-8000-000000000000";

const unknown = [
  row("an unknown graph", "POST /threads/new/run", { graph: "refundz" }, "404 not_found", "refunds"),
  row("an unknown graph, streamed", "POST /threads/new/stream", { graph: "x" }, "404 not_found"),
  row("a thread of an unknown graph", "POST /threads", { graph: "refundz" }, "404 not_found", "refunds"),
  row("a graph whose name is inherited", "POST /threads/new/run", { graph: "__proto__" }, "404 not_found"),
  row("a graph with a NUL in its name", "POST /threads/new/run", { graph: "a\0b" }, "404 not_found"),
  ...["", "/state", "/messages", "/checkpoints", "/runs", "/stream", `/runs/${UUID}`].map((path) =>
    row(`an unknown thread, GET ${path}`, `GET /threads/none${path}`, none, "404 not_found"),
  ),
  row("an unknown thread, deleted", "DELETE /threads/none", none, "404 not_found"),
  row("an unknown thread, patched", "PATCH /threads/none/state", {}, "404 not_found"),
  row("an unknown thread, forked", "POST /threads/none/fork", { checkpoint_id: UUID }, "404 not_found"),
  row(
    "a fork of a checkpoint of another thread",
    "POST /threads/done/fork",
    { checkpoint_id: ":checkpoint" },
    "404 not_found",
  ),
  row("a fork of nothing", "POST /threads/done/fork", {}, INVALID, "checkpoint_id"),
  row("an unknown thread, resumed", "POST /threads/none/resume", {}, "404 not_found"),
  row("an unknown thread, stopped", "POST /threads/none/stop", {}, "404 not_found"),
  ...["none", UUID, "a%00b", "a%2Fb", "%ED%A0%80", "x".repeat(3000)].flatMap((id) => [
    row(`an unknown interrupt ${id.slice(0, 9)}`, `GET /interrupts/${id}`, none, "404 not_found"),
    row(
      `a decision on ${id.slice(0, 9)}`,
      `POST /interrupts/${id}/decision`,
      { decision: "approve" },
      "404 not_found",
    ),
    row(`an unknown run ${id.slice(0, 9)}`, `GET /threads/done/runs/${id}`, none, "404 not_found"),
  ]),
  row("a run of another thread", "GET /threads/done/runs/:run", none, "404 not_found"),
  ...["none", UUID, "a%00b", ":checkpoint"].map((id) =>
    row(
      `a checkpoint ${id} of no such thread`,
      `GET /threads/done/state?checkpoint=${id}`,
      none,
      "404 not_found",
    ),
  ),
  ...["none", UUID, "a\0b", "\ud800"].map((id) =>
    row(
      `an answer to the unknown interrupt ${JSON.stringify(id)}`,
      RESUME,
      { interrupt_id: id, decision: "approve" },
      "404 not_found",
    ),
  ),
  row(
    "an interrupt of another thread",
    "POST /threads/typed/resume",
    { interrupt_id: ":interrupt", decision: "deny" },
    "404 not_found",
  ),
  row("an unknown node to hold before", RUN, { config: { interrupt_before: ["PYA"] } }, INVALID, '"PAY"'),
  row("an unknown node to hold after", RUN, { config: { interrupt_after: ["REED"] } }, INVALID, '"READ"'),
  row(
    "an unknown node in a resume",
    RESUME,
    { decision: "approve", config: { interrupt_after: ["x"] } },
    INVALID,
  ),
];

const wrongMoment = [
  row("a second run at once", "POST /threads/busy/run", {}, "409 thread_busy"),
  row("a second run at once, streamed", "POST /threads/busy/stream", {}, "409 thread_busy"),
  row("a resume of what runs", "POST /threads/busy/resume", {}, "409 thread_busy"),
  row("a patch of what runs", "PATCH /threads/busy/state", { messages: ["x"] }, "409 thread_busy"),
  row("a deletion of what runs", "DELETE /threads/busy", none, "409 thread_busy"),
  row("a resume of what is completed", "POST /threads/done/resume", {}, "409 not_resumable"),
  row(
    "a decision on what is completed",
    "POST /threads/done/resume",
    { decision: "approve" },
    "409 not_resumable",
  ),
  row("a resume of what never ran", "POST /threads/idle/resume", {}, "409 not_resumable"),
  row(
    "a message to a paused thread",
    "POST /threads/paused/run",
    { input: { messages: ["yes"] } },
    "409 thread_interrupted",
  ),
  row("a message to a paused thread, streamed", "POST /threads/paused/stream", {}, "409 thread_interrupted"),
  row("another graph", RUN, { graph: "typed" }, "409 graph_mismatch"),
  row("a thread id that is taken", "POST /threads", { thread_id: "idle" }, "409 thread_exists"),
];

const misnamed = [
  row(
    "the summary's other name, as input",
    RUN,
    { input: { contextSummary: "x" } },
    INVALID,
    "context_summary",
  ),
  row(
    "the summary's other name, as state",
    PATCH,
    { state: { contextSummary: "x" } },
    INVALID,
    "context_summary",
  ),
  row(
    "both names",
    RUN,
    { input: { contextSummary: "x", context_summary: "y" } },
    INVALID,
    "context_summary",
  ),
];

const bodies = [
  RUN,
  "POST /threads/done/stream",
  RESUME,
  DECIDE,
  "POST /threads/paused/stop",
  "POST /threads",
  PATCH,
].flatMap((request) => [
  ...["hello", '{"a":', "{'a':1}", "{}{}", '{"a":1,}', "NaN", "a=1&b=2"].map((body) =>
    row(`${body} as a body of ${request}`, request, body, "400 malformed_body"),
  ),
  ...["[]", '"x"', "5", "null", "true", '[{"decision":"approve"}]'].map((body) =>
    row(`${body} as a body of ${request}`, request, body, INVALID),
  ),
  row(`too much for ${request}`, request, `{"reason":"${"x".repeat(1_100_000)}"}`, "413 payload_too_large"),
  row(`101 levels for ${request}`, request, `{"state":${nested(101)}}`, "422 too_deep"),
  row(`100 000 levels for ${request}`, request, nested(100_000), "422 too_deep"),
  row(`an unknown key for ${request}`, request, { hello: 1 }, INVALID, "hello"),
  row(`__proto__ for ${request}`, request, '{"__proto__":{"decision":"approve"}}', INVALID, "__proto__"),
  row(`constructor for ${request}`, request, '{"constructor":{"prototype":{"x":1}}}', INVALID, "constructor"),
]);

/** Numbers that JavaScript has no place for. */
const numbers = [
  ...["9007199254740993", "-9007199254740993", "18446744073709551615", `1${"0".repeat(30)}1`].map((number) =>
    row(`the integer ${number}`, RUN, `{"input":{"amount":${number}}}`, LOSSY, `input.amount: ${number}`),
  ),
  ...["1e400", "-1E+400", "9".repeat(400), `${"9".repeat(400)}.5`].map((number) =>
    row(`the number ${number.slice(0, 9)}`, RUN, `{"input":{"amount":${number}}}`, LOSSY, "input.amount"),
  ),
  row(
    "a lossy integer in a list",
    PATCH,
    '{"state":{"amount":[1,[9007199254740993]]}}',
    LOSSY,
    "amount[1][0]",
  ),
  row("a lossy integer with space around it", PATCH, '{"state":{"amount"\n:\t9007199254740993\r }}', LOSSY),
  row(
    "a lossy integer behind quotes",
    PATCH,
    '{"state":{"a\\\\\\"":"\\\\","amount":9007199254740993}}',
    LOSSY,
  ),
  row(
    "a lossy integer in an answer",
    DECIDE,
    '{"decision":"approve","data":[9007199254740993]}',
    LOSSY,
    "data[0]",
  ),
  row("a lossy integer as a limit", RUN, '{"config":{"recursion_limit":9007199254740993}}', LOSSY),
  row(
    "a lossy integer as metadata",
    "POST /threads",
    '{"metadata":{"id":9007199254740993}}',
    LOSSY,
    "metadata.id",
  ),
  row("a lossy integer as a whole body", RUN, "9007199254740993", LOSSY, "send it as a string"),
];

const deepKeys = [
  row("an unknown key of config", RUN, { config: { recursionLimit: 1 } }, INVALID, "recursionLimit"),
  row(
    "an unknown key of a message",
    RUN,
    { input: { messages: [{ role: "user", content: "x", rol: 1 }] } },
    INVALID,
  ),
  row(
    "an unknown key of an answer",
    RESUME,
    { answers: [{ interrupt_id: ":interrupt", decison: "deny" }] },
    INVALID,
    "decison",
  ),
  row("a misspelt decision", RESUME, { decison: "approve" }, INVALID, "decison"),
  row(
    "an interrupt id beside the one in the path",
    DECIDE,
    { interrupt_id: ":interrupt", decision: "approve" },
    INVALID,
  ),
  row("an unknown query of a list", "GET /threads?lim=1", none, INVALID, "lim"),
  row("an unknown query of a stream", "GET /threads/done/stream?afer=1", none, INVALID, "afer"),
  ...["input", "config", "state"].map((key) =>
    row(
      `__proto__ in ${key}`,
      key === "state" ? PATCH : RUN,
      `{"${key}":{"__proto__":{"amount":1}}}`,
      INVALID,
    ),
  ),
  row("__proto__ in metadata", RUN, '{"config":{"metadata":{"a":{"__proto__":{}}}}}', INVALID, "__proto__"),
  row(
    "__proto__ in a message",
    RUN,
    '{"input":{"messages":[{"role":"user","content":"x","metadata":{"__proto__":1}}]}}',
    INVALID,
  ),
  row("__proto__ in an answer's data", DECIDE, '{"decision":"approve","data":[{"__proto__":1}]}', INVALID),
  ...[
    "constructor",
    "prototype",
    "toString",
    "hasOwnProperty",
    "executionMeta",
    "contextSummary",
    "context",
  ].flatMap((key) => [
    row(`${key} as a field of input`, RUN, { input: { [key]: { prototype: {} } } }, INVALID, key),
    row(`${key} as a field of a patch`, PATCH, { state: { [key]: 1 } }, INVALID, key),
    row(`${key} as a field of an edit`, DECIDE, { decision: "edit", state: { [key]: 1 } }, INVALID, key),
  ]),
];

const threadIds = [
  "a%2Fb",
  "a%22b",
  "a%00b",
  "a%20b",
  "a%0Ab",
  "%C3%A4",
  "%zz",
  "%ff",
  "x".repeat(129),
  "x".repeat(5000),
  "",
].flatMap((id) => {
  const name = id.length > 20 ? `of ${id.length} characters` : JSON.stringify(id);
  return [
    row(`a thread id ${name}, looked at`, `GET /threads/${id}/state`, none, "422 invalid_thread_id"),
    row(`a thread id ${name}, run`, `POST /threads/${id}/run`, {}, "422 invalid_thread_id"),
    row(`a thread id ${name}, streamed`, `GET /threads/${id}/stream`, none, "422 invalid_thread_id"),
  ];
});
const chosenIds = ["", "a/b", "a b", "a\0b", "ä", "\ud800", "x".repeat(129), "a\n"].map((id) =>
  row(
    `${JSON.stringify(id).slice(0, 12)} as a chosen thread id`,
    "POST /threads",
    { thread_id: id },
    "422 invalid_thread_id",
  ),
);

const values = [
  ...[{ amount: "much" }, { amount: -1 }, { amount: null }, { paid: 5 }, { context_summary: 5 }].flatMap(
    (fields) => [
      row(`input ${JSON.stringify(fields)}`, RUN, { input: fields }, INVALID, Object.keys(fields)[0]),
      row(`a patch ${JSON.stringify(fields)}`, PATCH, { state: fields }, INVALID, Object.keys(fields)[0]),
      row(`an edit ${JSON.stringify(fields)}`, DECIDE, { decision: "edit", state: fields }, INVALID),
    ],
  ),
  row("an undeclared field", RUN, { input: { amuont: 1 } }, INVALID, '"amount"'),
  row("an undeclared field, patched", PATCH, { state: { amuont: 1 } }, INVALID, '"amount"'),
  row("an undeclared field, edited", DECIDE, { decision: "edit", state: { amuont: 1 } }, INVALID, '"amount"'),
  ...[
    "x",
    {},
    [1],
    [null],
    [[]],
    [{ role: "boss", content: "x" }],
    [{ content: "x" }],
    [{ role: "user" }],
    [{ role: "user", content: 5 }],
    [{ role: "user", content: [{ text: "no type" }] }],
    [{ role: "user", content: "x", id: "" }],
    [{ role: "user", content: "x", metadata: [] }],
    [{ role: "user", content: "x", created_at: "yesterday" }],
    ["fine", { role: "user" }],
  ].flatMap((messages) => [
    row(`messages ${JSON.stringify(messages)}`, RUN, { input: { messages } }, INVALID),
    row(`patched messages ${JSON.stringify(messages)}`, PATCH, { messages }, INVALID),
    row(
      `an answer's messages ${JSON.stringify(messages)}`,
      DECIDE,
      { decision: "approve", messages },
      INVALID,
    ),
  ]),
  row(
    "another message of a known id",
    RUN,
    { input: { messages: [{ role: "user", content: "y", id: "m1" }] } },
    "422 message_exists",
  ),
  row(
    "another message of a known id, patched",
    PATCH,
    { messages: [{ role: "system", content: "x", id: "m1" }] },
    "422 message_exists",
  ),
  row(
    "another message of a known id, in an answer",
    DECIDE,
    { decision: "approve", messages: [{ role: "user", content: "y", id: "m2" }] },
    "422 message_exists",
  ),
  row(
    "two messages of one id",
    RUN,
    {
      input: {
        messages: [
          { role: "user", content: "1", id: "z" },
          { role: "user", content: "2", id: "z" },
        ],
      },
    },
    "422 message_exists",
  ),
];

const decisions = [
  ...["yes", "", 5, true, ["approve"], { approve: true }].flatMap((decision) => [
    row(`the decision ${JSON.stringify(decision)}`, RESUME, { decision }, INVALID, "decision"),
    row(`the decision ${JSON.stringify(decision)} by id`, DECIDE, { decision }, INVALID, "decision"),
  ]),
  row("a decision that is not offered", DECIDE, { decision: "respond", data: 1 }, INVALID),
  row("no decision where one is demanded", DECIDE, { data: true }, "422 decision_required"),
  row("state beside approve", DECIDE, { decision: "approve", state: { amount: 1 } }, INVALID, "state"),
  row("state beside deny", RESUME, { decision: "deny", state: { amount: 1 } }, INVALID, "state"),
  row("a reason that is no text", RESUME, { decision: "deny", reason: 5 }, INVALID, "reason"),
  row("a state that is a list", RESUME, { decision: "edit", state: [] }, INVALID, "state"),
  row(
    "data that the schema refuses",
    "POST /interrupts/:typed/decision",
    { decision: "approve", data: { ok: "yes" } },
    INVALID,
    "ok",
  ),
  row(
    "data that the schema misses",
    "POST /interrupts/:typed/decision",
    { decision: "approve" },
    INVALID,
    "data",
  ),
  row(
    "data too much for the schema",
    "POST /threads/typed/resume",
    { decision: "edit", data: null },
    INVALID,
  ),
  row(
    "answers beside a decision",
    RESUME,
    { decision: "deny", answers: [{ interrupt_id: ":interrupt", decision: "deny" }] },
    INVALID,
  ),
  row("no answers", RESUME, { answers: [] }, INVALID),
  row("answers that are no list", RESUME, { answers: {} }, INVALID),
  row("an answer without an id", RESUME, { answers: [{ decision: "deny" }] }, INVALID),
  row(
    "one interrupt twice",
    RESUME,
    {
      answers: [
        { interrupt_id: ":interrupt", decision: "deny" },
        { interrupt_id: ":interrupt", decision: "deny" },
      ],
    },
    INVALID,
  ),
];

const LISTS = ["/threads", "/interrupts", "/threads/done/messages", "/threads/done/runs"];
const settings = [
  ...LISTS.flatMap((list) => [
    ...["0", "1000", "201", "-1", "1.5", "x", "", "5&limit=6", "9007199254740993", "1e400"].map((limit) =>
      row(`limit=${limit} of ${list}`, `GET ${list}?limit=${limit}`, none, INVALID, "limit"),
    ),
    ...["x", "W10", "bnVsbA", "e30", "eyJhIjoxfQ", "%00", "x".repeat(2000)].map((cursor) =>
      row(`cursor=${cursor.slice(0, 12)} of ${list}`, `GET ${list}?cursor=${cursor}`, none, "400 bad_cursor"),
    ),
  ]),
  row("an unknown status of threads", "GET /threads?status=held", none, INVALID, "status"),
  row("an unknown status of interrupts", "GET /interrupts?status=a%00b", none, INVALID, "status"),
  ...[0, -1, 1.5, "5", null, 1e9].map((limit) =>
    row(
      `recursion_limit ${limit ?? "null"}`,
      RUN,
      { config: { recursion_limit: limit } },
      INVALID,
      "recursion_limit",
    ),
  ),
  ...["PAY", [1], {}, null].map((names) =>
    row(
      `interrupt_before ${JSON.stringify(names)}`,
      RUN,
      { config: { interrupt_before: names } },
      INVALID,
      "interrupt_before",
    ),
  ),
  row("an unknown on_busy", RUN, { on_busy: "maybe" }, INVALID, "on_busy"),
  row("an unknown mode of a stop", "POST /threads/paused/stop", { mode: "later" }, INVALID, "mode"),
  row("metadata that is a list", "POST /threads", { metadata: [] }, INVALID, "metadata"),
  row("an input that is a list", RUN, { input: [] }, INVALID, "input"),
  row("a cursor that is a word", "GET /threads/done/stream?after=now", none, "400 bad_cursor"),
  ...["9007199254740993", "1e3", "-1", "1.5"].map((after) =>
    row(`after=${after}`, `GET /threads/done/stream?after=${after}`, none, "400 bad_cursor"),
  ),
  row("a cursor ahead of everything", "GET /threads/done/stream?after=999999", none, "409 cursor_ahead"),
  row("an unknown follow", "GET /threads/done/stream?follow=yes", none, INVALID, "follow"),
];

export const BAD_REQUESTS: readonly BadRequest[] = [
  ...unknown,
  ...wrongMoment,
  ...misnamed,
  ...bodies,
  ...numbers,
  ...deepKeys,
  ...threadIds,
  ...chosenIds,
  ...values,
  ...decisions,
  ...settings,
];
