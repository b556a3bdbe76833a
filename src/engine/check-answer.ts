import type { ValidationFault } from "../errors.js";
import type { DecisionKind, Interrupt } from "./interrupt.js";

/** The shape of an answer, as far as it decides whether the interrupt takes it. */
export interface AnswerShape {
  readonly decision: DecisionKind | null;
  readonly hasState: boolean;
}

/**
 * Why an interrupt does not take an answer, or null (design: engine, section 5). `decision_required` is apart: it is what
 * a careless "go on" meets.
 */
export function checkAnswer(
  interrupt: Interrupt,
  answer: AnswerShape,
): "decision_required" | ValidationFault | null {
  if (answer.decision === null) {
    if (!interrupt.plain) return "decision_required";
    if (answer.hasState && interrupt.kind === "manual") return STATE_WITHOUT_EDIT;
    return null;
  }
  if (!interrupt.decisions.includes(answer.decision)) {
    const offered = interrupt.decisions.join(", ");
    return { path: "decision", message: `"${answer.decision}" is not offered here; offered are ${offered}` };
  }
  if (answer.hasState && answer.decision !== "edit") return STATE_WITHOUT_EDIT;
  return null;
}

const STATE_WITHOUT_EDIT: ValidationFault = {
  path: "state",
  message: `a patch comes only with the decision "edit", or with no decision at a plain hold point`,
};
