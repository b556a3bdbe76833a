import type { Page } from "./types.js";

/** A list: `await` gives its first page, `for await` each item of every page. */
export class List<Item> implements PromiseLike<Page<Item>>, AsyncIterable<Item> {
  readonly #page: (cursor: string | undefined) => Promise<Page<Item>>;

  /** `page` asks for the page of a cursor, or for the first. */
  constructor(page: (cursor: string | undefined) => Promise<Page<Item>>) {
    this.#page = page;
  }

  /** The page that was asked for: what `await` calls. */
  then<Kept = Page<Item>, Failed = never>(
    kept?: ((page: Page<Item>) => Kept | PromiseLike<Kept>) | null,
    failed?: ((reason: unknown) => Failed | PromiseLike<Failed>) | null,
  ): Promise<Kept | Failed> {
    return this.#page(undefined).then(kept, failed);
  }

  /** Every item, page after page: what `for await` calls. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.#page(cursor);
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }
}
