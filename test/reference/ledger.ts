/** The ledger of examples/refunds.ts, in a folder that is gone after the test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";

export const LARGE_REFUND = "Order 1042 arrived broken, I want my 129.90 back";

export function ledger() {
  const folder = mkdtempSync(join(tmpdir(), "holdpoint-ledger-"));
  const path = join(folder, "ledger.ndjson");
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });
  vi.stubEnv("REFUNDS_LEDGER", path);
  return {
    /** From here on nothing can be written to it, or it can again. */
    breaks: () => void vi.stubEnv("REFUNDS_LEDGER", join(folder, "missing", "ledger.ndjson")),
    works: () => void vi.stubEnv("REFUNDS_LEDGER", path),
    /** What was really paid, in cents. */
    paid: (): unknown[] => {
      let text = "";
      try {
        text = readFileSync(path, "utf8");
      } catch {
        return [];
      }
      const lines = text.split("\n").filter((each) => each !== "");
      return lines.map((each) => (JSON.parse(each) as { amount_cents: number }).amount_cents);
    },
  };
}
