/** A reader that costs next to nothing, so that one test process can be thousands: HTTP/1.0 on a plain socket. */
import { createHash } from "node:crypto";
import { connect } from "node:net";

export class RawReader {
  readonly ids: number[] = [];
  /** Ids without those of deltas: what the log has. */
  readonly logged: number[] = [];
  /** Milliseconds that each event with a time of its own (`"at":`) took to get here. */
  readonly latencies: number[] = [];
  isOver = false;
  #hash = createHash("sha256");
  #last = "";

  constructor(
    readonly url: string,
    readonly path: string,
  ) {}

  /** Of the events so far, byte for byte. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /**
   * One connection. `attached` once the stream has begun, `ended` when it is gone, whichever side ended it. One that is not
   * `eager` asks, and takes not a byte before `read`.
   */
  open(eager = true): { attached: Promise<void>; ended: Promise<void>; read: () => void } {
    const { hostname, port, host } = new URL(this.url);
    const socket = connect({ port: Number(port), host: hostname, noDelay: true });
    const cursor = this.#last === "" ? "" : `Last-Event-ID: ${this.#last}\r\n`;
    socket.write(`GET ${this.path} HTTP/1.0\r\nHost: ${host}\r\n${cursor}\r\n`);
    let tail = "";
    let begun: () => void = () => undefined;
    const attached = new Promise<void>((resolve) => (begun = resolve));
    const ended = new Promise<void>((resolve) =>
      socket.on("error", () => undefined).on("close", () => resolve()),
    );
    const read = (): void => {
      socket.on("data", (bytes) => {
        // One character a byte: nothing is lost, and no character is cut.
        const parts = (tail + bytes.toString("latin1")).split("\n\n");
        tail = parts.pop() ?? "";
        if (parts.length > 0) begun();
        for (const part of parts) this.#take(part);
      });
    };
    if (eager) read();
    return { attached, ended, read };
  }

  /** Comes back with its cursor until it has the end. */
  async readOn(): Promise<void> {
    while (!this.isOver) await this.open().ended;
  }

  #take(frame: string): void {
    const id = /^id: (\d+)\nevent: (\w+)\n/.exec(frame);
    if (id === null) return;
    this.#last = id[1] ?? "";
    this.#hash.update(frame, "latin1");
    this.ids.push(Number(id[1]));
    if (id[2] !== "delta") this.logged.push(Number(id[1]));
    if (id[2] === "end") this.isOver = true;
    const at = /"at":(\d+)/.exec(frame);
    if (at !== null) this.latencies.push(Date.now() - Number(at[1]));
  }
}

/** The value below which this share of them is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
