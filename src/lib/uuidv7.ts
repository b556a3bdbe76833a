const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * A UUID version 7 (RFC 9562): sortable by time. `now` is in milliseconds since 1970; ten random bytes are taken from `random`
 * at `from` on.
 */
export function uuidv7(now: number, random: Uint8Array, from = 0): string {
  const hex = (at: number): string => HEX[random[from + at] ?? 0] ?? "";
  const version = HEX[((random[from] ?? 0) & 0x0f) | 0x70] ?? "";
  const variant = HEX[((random[from + 2] ?? 0) & 0x3f) | 0x80] ?? "";
  const time = now.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-${version}${hex(1)}-${variant}${hex(3)}-${hex(4)}${hex(5)}${hex(6)}${hex(7)}${hex(8)}${hex(9)}`;
}
