/**
 * Random cases, of a new seed each time. A case that fails is shrunk and printed with its seed and path;
 * `ORACLE=<seed>/<path> npx vitest run test/oracle/<file>` plays it again, `ORACLE_RUNS=<n>` another number of cases.
 */
import fc from "fast-check";
import type { Checkpointer } from "holdpoint";
import { newTally, play, type Tally } from "./drive.js";
import { foretell } from "./oracle.js";
import { anyCases, type Case } from "./shape.js";

const small = anyCases.filter((given) => foretell(given) !== null);
/** Nothing goes wrong but nodes and edges that throw. */
export const undisturbed = small.map((given): Case => ({ ...given, trouble: [] }));
/** Stops and crashes at any moment. */
export const disturbed = small.filter(({ trouble }) => trouble.length > 0);
export const all = small;

/** Plays `count` cases; throws for the first that fails, shrunk, or where none had what some must have had. */
export async function playAll(
  cases: fc.Arbitrary<Case>,
  count: number,
  checkpointer: () => Checkpointer,
  musts: readonly (keyof Tally)[],
): Promise<void> {
  const tally = newTally();
  const { ORACLE: again = "", ORACLE_RUNS: runs = count } = process.env;
  const [seed = "", path] = again.split("/");
  const details = await fc.check(
    fc.asyncProperty(cases, (given) => play(given, checkpointer(), tally)),
    {
      numRuns: Number(runs),
      timeout: 20_000,
      // A case that hangs is not shrunk for ever.
      interruptAfterTimeLimit: 540_000,
      markInterruptAsFailure: true,
      ...(seed === "" ? {} : { seed: Number(seed), ...(path === undefined ? {} : { path }) }),
    },
  );
  if (!details.failed) {
    const dull = musts.filter((each) => tally[each] === 0);
    if (again === "" && dull.length > 0) throw new Error(`no case had ${dull.join(", ")}`);
    return;
  }
  const replay = `ORACLE=${details.seed}/${details.counterexamplePath ?? ""}`;
  const found = JSON.stringify(details.counterexample?.[0]);
  throw new Error(`${fc.defaultReportMessage(details) ?? ""}\n${found}\nagain: ${replay}`, {
    cause: details.errorInstance,
  });
}
