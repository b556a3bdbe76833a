/** A wire between Holdpoint and its PostgreSQL that a test may cut: where it hurts, not somewhere near it. */
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface Proxy {
  /** The database's URL by this wire. */
  readonly url: string;
  /**
   * The next statement whose bytes match reaches the database, and the database's answer to it is lost: the connection breaks
   * when it comes. Resolves then.
   */
  loseAnswerTo(statement: RegExp): Promise<void>;
  /** Breaks every connection, and refuses new ones until `mend`. */
  cut(): void;
  mend(): void;
}

/** Text of a statement and its values stands in the protocol as it is. */
export async function startProxy(url: string): Promise<Proxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const losses: { statement: RegExp; lost: () => void }[] = [];
  let isCut = false;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let lost: (() => void) | null = null;
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", end).on("close", () => {
        sockets.delete(socket);
        end();
      });
    }
    if (isCut) end();
    client.on("data", (bytes) => {
      const said = bytes.toString("latin1");
      const at = losses.findIndex(({ statement }) => statement.test(said));
      if (at >= 0) lost = losses.splice(at, 1)[0]?.lost ?? null;
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (lost === null) {
        client.write(bytes);
        return;
      }
      // What it says comes after the commit.
      end();
      lost();
      lost = null;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const own = new URL(url);
  own.port = String((server.address() as AddressInfo).port);
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    url: own.href,
    loseAnswerTo: (statement) => new Promise((lost) => losses.push({ statement, lost })),
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      isCut = false;
    },
  };
}
