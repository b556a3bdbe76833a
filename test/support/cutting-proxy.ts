/** A bad network in front of a server: it cuts answers after an exact byte, breaks them into pieces, holds bytes back, stalls. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { onTestFinished } from "vitest";

/** What becomes of one connection's answer. Everything counts bytes of it, from the first of its status line. */
export interface Line {
  /** The connection ends behind so many bytes. Default: with its answer. */
  readonly cutAfter?: number;
  /** A cut is a reset, which may swallow what is on its way; else the reader gets every byte before it. */
  readonly reset?: boolean;
  /** The answer travels in pieces of these sizes, in turn. Default: as it comes. */
  readonly pieces?: readonly number[];
  /** So many bytes stay behind until more come, or the answer ends. */
  readonly heldBack?: number;
  /** Behind so many bytes nothing is taken from the server for a time. */
  readonly stall?: { readonly after: number; readonly ms: number };
}

export interface CuttingProxy {
  /** The URL of the server by this way. */
  readonly url: string;
  /** Connections that did not come to the end of their answer. */
  cuts(): number;
}

/** `lineOf` is asked for each connection, the first is 0. */
export async function cuttingProxy(
  target: string,
  lineOf: (connection: number) => Line,
): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let [connections, cuts] = [0, 0];
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: Number(port), host: hostname, noDelay: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    }
    client.pipe(upstream);
    client.on("close", () => upstream.destroy());
    void carry(upstream, client, lineOf(connections++)).then((isCut) => {
      if (isCut) cuts++;
      upstream.destroy();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.origin, cuts: () => cuts };
}

/** Whether it ended in a cut. */
async function carry(upstream: Socket, client: Socket, line: Line): Promise<boolean> {
  const { cutAfter = Infinity, reset = false, pieces = [Infinity], heldBack = 0, stall } = line;
  let waiting: Buffer = Buffer.alloc(0);
  let [sent, turns] = [0, 0];
  let stalled = stall === undefined;

  /** False once there is nothing more to send on this connection. */
  const send = async (behind: number): Promise<boolean> => {
    while (waiting.length > behind && sent < cutAfter) {
      if (stall !== undefined && !stalled && sent >= stall.after) {
        stalled = true;
        await sleep(stall.ms);
      }
      const size = Math.min(pieces[turns++ % pieces.length] ?? 1, waiting.length - behind, cutAfter - sent);
      const piece = waiting.subarray(0, size);
      waiting = waiting.subarray(size);
      sent += size;
      if (!(await written(client, piece))) return false;
      // The next piece is another packet.
      if (waiting.length > behind) await turn();
    }
    return sent < cutAfter;
  };
  let goesOn = cutAfter > 0;
  try {
    if (goesOn) {
      for await (const bytes of upstream as AsyncIterable<Buffer>) {
        waiting = Buffer.concat([waiting, bytes]);
        goesOn = await send(heldBack);
        if (!goesOn) break;
      }
    }
    if (goesOn) goesOn = await send(0);
  } catch {
    // The server went away: so does the reader's connection.
    goesOn = false;
  }
  if (goesOn || !reset) client.end();
  else client.resetAndDestroy();
  return !goesOn;
}

/** Whether the socket took it. */
const written = (socket: Socket, bytes: Buffer): Promise<boolean> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve(false);
    else socket.write(bytes, (error) => resolve(error == null));
  });
