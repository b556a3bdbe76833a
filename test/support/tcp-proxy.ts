/** A way to a server that a test can cut: by TCP, as the network would. */
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface TcpProxy {
  /** The URL of the server by this way. */
  readonly url: string;
  /** From now on connections are closed as soon as they come. Those that are there stay. */
  refuse(): void;
  accept(): void;
  /** Connections that are there stay open, and carry nothing any more. */
  freeze(): void;
  /** Connections that came so far, refused ones too. */
  connections(): number;
}

export async function tcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target);
  const pairs = new Set<readonly [Socket, Socket]>();
  let isOpen = true;
  let count = 0;
  const server = createServer((client) => {
    count++;
    if (!isOpen) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(port), hostname);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const [from, to] of [pair, [upstream, client] as const]) {
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    for (const sockets of pairs) for (const socket of sockets) socket.destroy();
  });
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    refuse: () => void (isOpen = false),
    accept: () => void (isOpen = true),
    freeze: () => {
      for (const sockets of pairs) for (const socket of sockets) socket.unpipe().pause();
    },
    connections: () => count,
  };
}
