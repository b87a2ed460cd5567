import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Blinder, hashToPoints, POINT_BYTES } from "../curve.mjs";

const anyKeys = fc.uniqueArray(fc.string({ unit: "binary" }), { minLength: 1, maxLength: 5 });

/** Bytes of a number, lowest first. */
function littleEndian(value: bigint): Buffer {
  const bytes = Buffer.from(value.toString(16).padStart(2 * POINT_BYTES, "0"), "hex");
  return Buffer.from(bytes.toReversed());
}

const PRIME = 2n ** 255n - 19n;

describe("hashing to the curve", () => {
  // RFC 9380, appendix J.4.1: curve25519_XMD:SHA-512_ELL2_RO_.
  it.each([
    ["", "2de3780abb67e861289f5749d16d3e217ffa722192d16bbd9d1bfb9d112b98c0"],
    ["abc", "2b4419f1f2d48f5872de692b0aca72cc7b0a60915dd70bde432e826b6abc526d"],
    ["abcdef0123456789", "68ca1ea5a6acf4e9956daa101709b1eee6c1bb0df1de3b90d4602382a104c036"],
  ])("gives the published point for %j", (message, u) => {
    const points = hashToPoints([Buffer.from(message)], "QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_RO_");
    expect([...points]).toEqual([...Buffer.from(u, "hex")].toReversed());
  });

  it("treats each key alone", () => {
    fc.assert(
      fc.property(anyKeys, (texts) => {
        const keys = texts.map((text) => Buffer.from(text));
        expect(hashToPoints(keys)).toEqual(Buffer.concat(keys.map((key) => hashToPoints([key]))));
      }),
      { numRuns: 20 },
    );
  });
});

describe("blinding", () => {
  it("gives the same in both orders, and different points for different keys", () => {
    fc.assert(
      fc.property(anyKeys, (texts) => {
        const points = hashToPoints(texts.map((text) => Buffer.from(text)));
        const [alice, bob] = [new Blinder(), new Blinder()];
        const product = bob.blind(alice.blind(points));
        expect(alice.blind(bob.blind(points))).toEqual(product);
        const names = texts.map((_, index) => product.toString("hex", index * POINT_BYTES, (index + 1) * POINT_BYTES));
        expect(new Set(names).size).toBe(texts.length);
        expect(product).not.toEqual(bob.blind(points));
      }),
      { numRuns: 20 },
    );
  });

  it("draws a secret for each blinder", () => {
    const point = hashToPoints([Buffer.from("key")]);
    expect(new Blinder().blind(point)).not.toEqual(new Blinder().blind(point));
  });

  // The points of small order of the curve and its twist, as https://cr.yp.to/ecdh.html lists them, in reduced form.
  it.each([
    0n,
    1n,
    PRIME - 1n,
    325606250916557431795983626356110631294008115727848805560023387167927233504n,
    39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  ])("refuses the point of small order %s", (u) => {
    expect(() => new Blinder().blind(littleEndian(u))).toThrow("the partner sent a curve point of small order");
  });

  const notReduced = [PRIME, PRIME + 9n, 2n ** 255n - 1n, 2n ** 255n + 9n, 2n ** 256n - 1n];
  it.each(notReduced)("refuses %s, which is not reduced", (u) => {
    expect(() => new Blinder().blind(littleEndian(u))).toThrow("not in its reduced form");
  });

  it("takes the largest reduced points", () => {
    expect(new Blinder().blind(littleEndian(PRIME - 2n))).toHaveLength(POINT_BYTES);
  });

  it("refuses half a point", () => {
    expect(() => new Blinder().blind(Buffer.alloc(POINT_BYTES + 1, 9))).toThrow("a broken list of curve points");
  });
});
