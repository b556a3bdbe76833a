/** Reads a mermaid flowchart as far as Holdpoint draws one, and strictly: any other line is a mistake of the drawing. */

export interface Picture {
  /** Text by id; a box of a nested graph has its title. */
  readonly boxes: ReadonlyMap<string, string>;
  /** The id of the box around each that is inside one. */
  readonly inside: ReadonlyMap<string, string>;
  readonly arrows: readonly { readonly from: string; readonly to: string; readonly label: string | null }[];
  /** `FROM -> TO`, `FROM -label> TO`, by what is written on the boxes. */
  readonly ways: readonly string[];
}

const ID = String.raw`n\d+(?:_\d+)*`;
/** Quoted text without a sign that mermaid or HTML would read as theirs. */
const TEXT = String.raw`"((?:[^"#<>&\x60]|#\d+;|<br/>)*)"`;
const SUBGRAPH = new RegExp(`^subgraph (${ID})\\[${TEXT}\\]$`);
const BOX = new RegExp(
  `^(${ID})(?:\\[${TEXT}\\]|\\{\\{${TEXT}\\}\\}|\\(\\[(start|end)\\]\\)|\\(\\((anywhere)\\)\\))$`,
);
const ARROW = new RegExp(`^(${ID}) (?:(-->)|-\\.->|-\\. ${TEXT} \\.->) (${ID})$`);

/** Throws for a line that is none of its kinds, an id that is declared twice or never, and boxes that do not close. */
export function readPicture(text: string): Picture {
  const [head, ...lines] = text.split("\n").map((line) => line.trim());
  if (head !== "flowchart TD") throw new Error(`it begins with ${JSON.stringify(head)}`);
  if (lines.pop() !== "") throw new Error("it does not end with a line's end");
  const boxes = new Map<string, string>();
  const inside = new Map<string, string>();
  const arrows: { from: string; to: string; label: string | null }[] = [];
  const open: string[] = [];
  const declare = (id: string, said: string): void => {
    if (boxes.has(id)) throw new Error(`${id} is declared twice`);
    boxes.set(id, plain(said));
    const around = open.at(-1);
    if (around !== undefined) inside.set(id, around);
  };
  for (const line of lines) {
    const [subgraph, box, arrow] = [SUBGRAPH.exec(line), BOX.exec(line), ARROW.exec(line)];
    if (subgraph !== null) {
      const [, id = "", said = ""] = subgraph;
      declare(id, said);
      open.push(id);
    } else if (box !== null) {
      const [, id = "", ...said] = box;
      declare(id, said.find((each) => each !== undefined) ?? "");
    } else if (arrow !== null) {
      const [, from = "", solid, label, to = ""] = arrow;
      arrows.push({ from, to, label: solid === undefined ? plain(label ?? "") : null });
    } else if (line !== "end" || open.pop() === undefined) throw new Error(`what is this: ${line}`);
  }
  if (open.length > 0) throw new Error(`${open.join(", ")} does not end`);
  const missing = arrows.flatMap(({ from, to }) => [from, to]).find((id) => !boxes.has(id));
  if (missing !== undefined) throw new Error(`${missing} is declared nowhere`);
  const shown = (id: string): string => boxes.get(id) ?? "";
  const ways = arrows.map(({ from, to, label }) => `${shown(from)} -${label ?? ""}> ${shown(to)}`);
  return { boxes, inside, arrows, ways };
}

const plain = (said: string): string =>
  said
    .replaceAll("<br/>", " | ")
    .replaceAll(/#(\d+);/g, (_code, point: string) => String.fromCodePoint(Number(point)));
