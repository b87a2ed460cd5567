import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderTemplate } from "../../../src/runners/local/template.js";

const variables = new Map([
  ["TASK_ID", "job-psi"],
  ["QUOTED", 'say "hi"\n\\ \u0007'],
  [
    "CLUSTER",
    '{"parties":[{"name":"alice","ports":[1,2]},{"name":"bob","ports":[3],"on":true,"none":null}],"a":{"b":"x\\"y"}}',
  ],
  ["TEXT", "not json"],
  ["NESTED", "{{.TASK_ID}}"],
]);

/** What other template languages would evaluate. */
const foreign = "{{.TASK_ID | printf}} {{range .X}} {{TASK_ID}} {{.}} {{{.A[}}} {% x %} ${TASK_ID} <%= 1 %>";

describe("renderTemplate", () => {
  it.each([
    ["plain text, { } and {{ }} stay", "plain text, { } and {{ }} stay"],
    ["id={{.TASK_ID}}", "id=job-psi"],
    ["{{ .TASK_ID }}", "job-psi"],
    ['{"task":"{{.TASK_ID}}"}', '{"task":"job-psi"}'],
    ['{"v":{{{.CLUSTER.parties[0].ports}}}}', '{"v":[1,2]}'],
    ["{{{.CLUSTER.parties[name=bob].ports[0]}}}", "3"],
    ["{{{.CLUSTER.parties[on=true].name}}}", "bob"],
    ["{{{.CLUSTER.parties[1].none}}}", "null"],
    ["{{{.CLUSTER.a.b}}}", 'x"y'],
    ["{{.CLUSTER.a.b}}", 'x\\"y'],
    ["{{{.QUOTED}}}", 'say "hi"\n\\ \u0007'],
    ["{{.NESTED}}", "{{.TASK_ID}}"],
    ["[{{.UNKNOWN}}][{{{.UNKNOWN.a[0]}}}][{{{.CLUSTER.parties[7].name}}}][{{{.CLUSTER.no.way}}}]", "[][][][]"],
    ["[{{{.TEXT.a}}}][{{{.CLUSTER.parties.length}}}]", "[][]"],
    ["[{{{.CLUSTER.constructor}}}][{{{.CLUSTER.__proto__.x}}}]", "[][]"],
    [foreign, foreign],
  ])("renders %s", (template, text) => expect(renderTemplate(template, variables)).toBe(text));

  it("inserts any value so that the JSON around it stays the same JSON with that value in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        const text = renderTemplate('{"a":"{{.V}}","b":["{{.V}}"]}', new Map([["V", value]]));
        expect(JSON.parse(text)).toEqual({ a: value, b: [value] });
      }),
    );
  });

  it("inserts any value raw as it is", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, value) => {
        fc.pre(!/[{}]/.test(before));
        expect(renderTemplate(`${before}{{{.V}}}`, new Map([["V", value]]))).toBe(before + value);
      }),
    );
  });

  it("picks any nested value of JSON", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = renderTemplate("{{{.V.deep[0].value}}}", new Map([["V", JSON.stringify({ deep: [{ value }] })]]));
        expect(text).toBe(typeof value === "string" ? value : JSON.stringify(value));
      }),
    );
  });

  it("never throws, and leaves text without placeholders alone", () => {
    fc.assert(fc.property(fc.string(), (text) => typeof renderTemplate(text, variables) === "string"));
    fc.assert(fc.property(fc.string(), (text) => text.includes("{{") || renderTemplate(text, variables) === text));
  });
});
