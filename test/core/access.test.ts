import { expect, test } from "vitest";
import { checkCommand, maySee } from "../../src/core/access.js";
import { JobError } from "../../src/core/error.js";
import { definitionOf, JobInMemory, MASTER, taskOf } from "./fixtures.js";

const { job } = new JobInMemory(definitionOf([taskOf("a")]));
const domain = (name: string) => ({ role: "domain", domain: name }) as const;

test("a domain sees the jobs that it takes part in, and a master all", () => {
  expect(["alice", "bob", "carol"].map((name) => maySee(domain(name), job))).toEqual([true, true, false]);
  expect(maySee(MASTER, job)).toBe(true);
  expect(maySee({ role: "domain", domain: null }, job)).toBe(false);
});

test.each(["constructor", "valueof", "tostring"])("a domain named %s, as JavaScript's own words, sees no more than others", (name) => {
  expect(maySee(domain(name), job)).toBe(false);
});

test("the initiator commands everything, the other parties what ends work, strangers nothing", () => {
  expect(() => checkCommand(domain("alice"), "Delete", job)).not.toThrow();
  expect(() => checkCommand(domain("bob"), "Stop", job)).not.toThrow();
  expect(() => checkCommand(domain("bob"), "Delete", job)).toThrow(JobError);
  expect(() => checkCommand(domain("bob"), "Delete", job, "kuscia")).not.toThrow();
  expect(() => checkCommand(domain("carol"), "Stop", job, "kuscia")).toThrow(JobError);
});
