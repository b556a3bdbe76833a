/** Chromium as Debian has it, and pages of other origins than the server's. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { program } from "./program.js";
import { EVENTS } from "./reader.js";

/** What the pages do; tests call these functions, and look at `heard` and `text`. */
const SCRIPT = `
const heard = [];
const states = [];
let opened = 0, source = null, text = "", answer = null;
function listen(url) {
  source = new EventSource(url);
  source.onopen = () => opened++;
  source.onerror = (event) => states.push({ state: source.readyState, data: event.data ?? null });
  for (const name of ${JSON.stringify(EVENTS)})
    source.addEventListener(name, (event) => heard.push({ id: Number(event.lastEventId), name, data: JSON.parse(event.data) }));
}
async function post(url, body, headers) {
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  answer = { status: response.status, contentLocation: response.headers.get("Content-Location") };
  const decoder = new TextDecoder();
  for (const reader = response.body.getReader();;) {
    const { done, value } = await reader.read();
    if (done) return "ended";
    text += decoder.decode(value, { stream: true });
  }
}`;

/** What a page heard. */
export interface Heard {
  readonly id: number;
  readonly name: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly data: any;
}

/** A request for a stream, and how it was answered: null where there was no answer. */
export interface Asked {
  readonly url: string;
  status: number | null;
}

export interface Tab {
  readonly page: Page;
  /** Its requests for streams. */
  readonly asked: readonly Asked[];
  /** Runs an expression in the page. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  does(expression: string): Promise<any>;
  /** Waits until an expression is true in the page. */
  sees(expression: string): Promise<void>;
  heard(): Promise<Heard[]>;
  /** Gives the functions to a page that is not of a site of ours. */
  runs(): Promise<void>;
}

export interface Chromium {
  open(url: string, options?: BrowserContextOptions): Promise<Tab>;
}

/** One browser for all tests of a file; each page has a profile of its own. */
export function useChromium(): Chromium {
  let browser: Browser | undefined;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: program("chromium"),
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
  });
  afterAll(() => browser?.close());
  return {
    async open(url, options = {}) {
      if (browser === undefined) throw new Error("the browser starts with the first test of its file");
      const context = await browser.newContext(options);
      onTestFinished(() => context.close());
      const page = await context.newPage();
      const asked: Asked[] = [];
      const requests = new Map<unknown, Asked>();
      page.on("request", (request) => {
        if (!request.url().includes("/stream") || request.method() === "OPTIONS") return;
        const entry = { url: request.url(), status: null };
        requests.set(request, entry);
        asked.push(entry);
      });
      page.on("response", (response) => {
        const entry = requests.get(response.request());
        if (entry !== undefined) entry.status = response.status();
      });
      await page.goto(url);
      return {
        page,
        asked,
        does: (expression) => page.evaluate(expression),
        async sees(expression) {
          await page.waitForFunction(expression, undefined, { timeout: 40_000 });
        },
        heard: () => page.evaluate("heard"),
        async runs() {
          await page.addScriptTag({ content: SCRIPT });
        },
      };
    },
  };
}

/** A site with one page, at an origin of its own. Gives the origin. */
export async function newSite(): Promise<string> {
  const server = createServer((_request, response) => {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>A page of another origin</title><script>${SCRIPT}</script>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
