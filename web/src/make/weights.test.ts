// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { reweigh, type Selected } from "./weights";

/** "a [red] fox" is the text with "red" marked; "a r|ed fox" has the caret at the bar. */
function marked(text: string): Selected {
  const bar = text.indexOf("|");
  if (bar >= 0) return { text: text.replace("|", ""), start: bar, end: bar };
  const start = text.indexOf("[");
  const end = text.indexOf("]") - 1;
  return { text: text.replace("[", "").replace("]", ""), start, end };
}
const show = ({ text, start, end }: Selected) =>
  `${text.slice(0, start)}[${text.slice(start, end)}]${text.slice(end)}`;

describe("reweigh", () => {
  it.each([
    ["a r|ed fox", 1, "a ([red]:1.1) fox"],
    ["a r|ed fox", -1, "a ([red]:0.9) fox"],
    ["a [red fox ] here", 1, "a ([red fox]:1.1)  here"],
    ["a ([red]:1.1) fox".replace("[red]", "re|d"), 1, "a ([red]:1.2) fox"],
    ["a (re|d:1.1) fox", -1, "a [red] fox"],
    ["a (re|d:2) fox", 1, "a ([red]:2) fox"],
    ["a (re|d:0) fox", -1, "a ([red]:0) fox"],
    ["Grü|ße", 1, "([Grüße]:1.1)"],
  ] as const)("%s by %i gives %s", (before, by, after) => {
    expect(show(reweigh(marked(before), by))).toBe(after);
  });

  it("leaves a caret between spaces alone", () => {
    const nothing = marked("a | fox");
    expect(reweigh(nothing, 1)).toEqual(nothing);
  });

  it("up and down again changes nothing", () => {
    const once = reweigh(marked("one two th|ree"), 1);
    expect(reweigh(once, -1).text).toBe("one two three");
  });
});
