/** Numbers from rounds, and how they are written. */

export const sorted = (values) => [...values].sort((a, b) => a - b);

export function quantile(values, q) {
  const all = sorted(values);
  if (all.length === 0) return NaN;
  const at = (all.length - 1) * q;
  const low = Math.floor(at);
  return all[low] + (all[Math.ceil(at)] - all[low]) * (at - low);
}

export const median = (values) => quantile(values, 0.5);

/** Median, lowest and highest of the rounds. */
export const spread = (values) => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});

/** Three digits that count, and thousands apart. */
export function digits(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

export function spreadText(values) {
  const { median: middle, min, max } = spread(values);
  return values.length === 1 ? digits(middle) : `${digits(middle)} (${digits(min)}–${digits(max)})`;
}

/** A Markdown table: first column left, the others right. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}
