import { describe, expect, it } from "vitest";
import { appEnvironment, expandVariables, refusal, templateVariables } from "../../../src/runners/local/environment.js";

const facts = {
  TASK_ID: "t1",
  KUSCIA_DOMAIN_ID: "alice",
  TASK_INPUT_CONFIG: "{}",
  TASK_CLUSTER_DEFINE: "{}",
  ALLOCATED_PORTS: "{}",
};
const none = { facts, imageEntries: [], ports: [], platform: {} };

describe("expandVariables", () => {
  const environment = { A: "one", B: "$(A)", EMPTY: "" };
  it.each([
    ["$(A)", "one"],
    ["x$(A)y$(A)", "xoneyone"],
    ["$(B)", "$(A)"],
    ["[$(EMPTY)]", "[]"],
    ["$(UNKNOWN) $(constructor)", "$(UNKNOWN) $(constructor)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$one"],
    ["$A ${A} `A` $(A", "$A ${A} `A` $(A"],
    ["cost: 5$", "cost: 5$"],
  ])("expands %s", (text, expanded) => expect(expandVariables(text, environment)).toBe(expanded));
});

describe("appEnvironment", () => {
  it("lets no image set a name of the platform, also not one that is left out", () => {
    const environment = appEnvironment({
      ...none,
      facts: { ...facts, TASK_INPUT_CONFIG: "x".repeat(64 * 1024 + 1) },
      imageEntries: [
        { name: "TASK_ID", value: "forged" },
        { name: "TASK_INPUT_CONFIG", value: "forged" },
        { name: "PATH", value: "forged" },
        { name: "LANG", value: "de_DE.UTF-8" },
        { name: "OWN", value: "kept" },
      ],
      platform: { PATH: "/bin" },
    });
    expect(environment).toEqual({
      LANG: "de_DE.UTF-8",
      OWN: "kept",
      TASK_ID: "t1",
      KUSCIA_DOMAIN_ID: "alice",
      TASK_CLUSTER_DEFINE: "{}",
      ALLOCATED_PORTS: "{}",
      PATH: "/bin",
    });
  });

  it("gives the input as a variable up to 64 KiB", () => {
    const input = "x".repeat(64 * 1024);
    expect(appEnvironment({ ...none, facts: { ...facts, TASK_INPUT_CONFIG: input } })).toHaveProperty(
      "TASK_INPUT_CONFIG",
      input,
    );
  });

  it("names the ports as Kuscia does", () => {
    const environment = appEnvironment({ ...none, ports: [{ name: "client-server", port: 26_409 }] });
    expect(environment).toHaveProperty("KUSCIA_PORT_CLIENT_SERVER_NUMBER", "26409");
  });
});

describe("templateVariables", () => {
  it("has the image's entries by upper-cased name, below the facts", () => {
    const variables = templateVariables(facts, [
      { name: "level", value: "debug" },
      { name: "task_id", value: "forged" },
    ]);
    expect(variables.get("LEVEL")).toBe("debug");
    expect(variables.get("TASK_ID")).toBe("t1");
  });
});

describe("refusal", () => {
  it.each([
    [["node"], { A: "1" }, null],
    [["node", "a\0b"], {}, "argument 1 of the command holds a NUL character"],
    [["node"], { A: "a\0b" }, "environment variable A holds a NUL character"],
    [["node"], { A: "é".repeat(65_536) }, "environment variable A is 131075 bytes long"],
    [["node"], { "A=B": "1" }, '"A=B" is not a name'],
    [["node"], { "": "1" }, '"" is not a name'],
  ])("of %j", (argv, environment, sentence) => {
    const refused = refusal(argv, environment);
    if (sentence === null) expect(refused).toBeNull();
    else expect(refused).toContain(sentence);
  });

  it("is exact about the longest string", () => {
    expect(refusal(["x".repeat(131_071)], {})).toBeNull();
    expect(refusal(["x".repeat(131_072)], {})).toContain("the command is 131073 bytes long");
  });
});
