/** The floors of HTTP: what Fastify, `pg` and a bare stream of events can do. */
import Fastify from "fastify";
import pg from "pg";

const EVENTS = 12;
const app = Fastify();
const db = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
await db.query("CREATE TABLE IF NOT EXISTS floor_request (id bigserial PRIMARY KEY, thread text, body text)");

app.post("/insert/:id", async (request) => {
  await db.query({
    name: "insert",
    text: "INSERT INTO floor_request (thread, body) VALUES ($1, $2)",
    values: [request.params.id, JSON.stringify(request.body)],
  });
  return { thread_id: request.params.id, status: "completed", state: { n: 3 } };
});

async function stream(reply, many) {
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "Content-Type": "text/event-stream" });
  for (let i = 1; i <= many; i++) {
    const data = JSON.stringify({ event: "graph_execution", event_type: "update", seq: i, data: { n: i } });
    if (!raw.write(`id: ${i}\nevent: update\ndata: ${data}\n\n`))
      await new Promise((resolve) => raw.once("drain", resolve));
  }
  raw.end();
}
app.post("/stream/:id", (_request, reply) => void stream(reply, EVENTS));
app.post("/talk/:id", (_request, reply) => void stream(reply, 1000));

console.log(JSON.stringify({ event: "listening", url: await app.listen({ host: "127.0.0.1", port: 0 }) }));
