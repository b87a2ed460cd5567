import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseQuantity } from "../../src/core/quantity.js";

describe("parseQuantity", () => {
  it.each([
    ["500m", 0.5],
    ["300m", 0.3],
    ["2", 2],
    ["1.5", 1.5],
    [".5", 0.5],
    ["2.", 2],
    ["1Gi", 1_073_741_824],
    ["100M", 100_000_000],
    ["1k", 1000],
    ["1e3", 1000],
    ["1E3", 1000],
    ["1E", 1e18],
    ["12e-1", 1.2],
    ["-1", -1],
    ["-500m", -0.5],
    ["+2Ki", 2048],
    ["0", 0],
    ["7u", 0.000_007],
  ])("reads %s", (text, value) => expect(parseQuantity(text)).toBe(value));

  const almost = ["--1", "1 ", " 1", "1K", "1KI", "1gi", "1Mi2", "1e", "1e1.5", "1m3", "0x10", "1_000", "1e999"];
  it.each([...almost, "", " ", ".", "Gi", "NaN", "Infinity", "٣"])("refuses %j", (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });

  it("never throws and never gives anything but a finite number", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[+-]?[0-9.]{0,6}[a-zA-Z]{0,3}[0-9]{0,4}$/)), (text) => {
        const value = parseQuantity(text);
        return value === undefined || Number.isFinite(value);
      }),
    );
  });

  it("scales whole numbers by their suffix", () => {
    const whole = fc.integer({ min: -1_000_000, max: 1_000_000 });
    fc.assert(
      fc.property(whole, (number) => {
        expect(parseQuantity(`${number}`)).toBe(number);
        expect(parseQuantity(`${number}m`)).toBe(number / 1000);
        expect(parseQuantity(`${number}Ki`)).toBe(number * 1024);
        expect(parseQuantity(`${number}e3`)).toBe(number * 1000);
      }),
    );
  });
});
