const DIGITS = Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));
const DASH = 0x2d;
/** Written in place and read out whole: a string put together from pieces keeps its pieces. */
const text = new Array<number>(36).fill(DASH);

/**
 * A UUID version 7 (RFC 9562): sortable by time. `now` is in milliseconds since 1970; ten random bytes are taken from `random`
 * at `from` on.
 */
export function uuidv7(now: number, random: Uint8Array, from = 0): string {
  let at = 0;
  const put = (byte: number): void => {
    if (at === 8 || at === 13 || at === 18 || at === 23) text[at++] = DASH;
    text[at++] = DIGITS[byte >> 4] ?? 0;
    text[at++] = DIGITS[byte & 15] ?? 0;
  };
  for (let shift = 2 ** 40; shift >= 1; shift /= 256) put(Math.floor(now / shift) & 255);
  put(0x70 | ((random[from] ?? 0) & 0x0f));
  put(random[from + 1] ?? 0);
  put(0x80 | ((random[from + 2] ?? 0) & 0x3f));
  for (let i = 3; i < 10; i++) put(random[from + i] ?? 0);
  return String.fromCharCode.apply(null, text);
}
