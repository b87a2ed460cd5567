import { describe, expect, it } from "vitest";
import { MAX_VALUES } from "../../src/encoding/values.js";
import { isLoopback } from "../../src/loopback.js";
import {
  clampDeadline,
  foreignPage,
  hostOf,
  isFormContentType,
  jsonExcess,
  MAX_JSON_DEPTH,
} from "../../src/server/guard.js";

describe("hostOf", () => {
  it.each([
    ["localhost:8082", "localhost"],
    ["LOCALHOST", "localhost"],
    ["127.0.0.1:1", "127.0.0.1"],
    ["[::1]:8082", "[::1]"],
    ["Example.com", "example.com"],
  ])("reads %s", (authority, host) => {
    expect(hostOf(authority)).toBe(host);
  });

  it.each([
    undefined,
    "",
    "a b",
    "[::1",
    "%zz",
    "a:99999",
    "user@localhost",
    "localhost/x",
    "localhost?x",
    "localhost#x",
  ])("finds no host in %s", (authority) => {
    expect(hostOf(authority)).toBeUndefined();
  });
});

describe("isLoopback", () => {
  it.each(["localhost", "muster.localhost", "127.0.0.1", "127.8.9.10", "[::1]", "::1"])("takes %s", (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(["0.0.0.0", "127.evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "evil.com", "128.0.0.1"])(
    "does not take %s",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

describe("foreignPage", () => {
  it.each([
    {},
    { origin: "http://localhost:3000" },
    { origin: "http://127.0.0.1:8082" },
    { origin: "http://muster.example:8082" },
    { "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "none" },
  ])("lets %o pass", (headers) => {
    expect(foreignPage(new Headers(headers), "muster.example:8082")).toBeUndefined();
  });

  it.each([
    { origin: "https://evil.com" },
    { origin: "null" },
    { origin: "http://muster.example:9999" },
    { origin: "http://localhost.evil.com" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { "sec-fetch-site": "cross-site", origin: "http://localhost" },
  ])("refuses %o", (headers) => {
    expect(foreignPage(new Headers(headers), "muster.example:8082")).toMatch(/refused/);
  });
});

describe("isFormContentType", () => {
  it.each([null, "", "text/plain", "Text/Plain; charset=utf-8", "multipart/form-data; boundary=x"])(
    "knows %s",
    (type) => {
      expect(isFormContentType(type)).toBe(true);
    },
  );

  it.each(["application/json", "application/x-protobuf", "application/grpc+proto"])("does not know %s", (type) => {
    expect(isFormContentType(type)).toBe(false);
  });
});

describe("clampDeadline", () => {
  it.each([
    ["99999999H", "2147483S"],
    ["2147484S", "2147483S"],
    ["2147483S", "2147483S"],
    ["10m", "10m"],
    ["nonsense", "nonsense"],
  ])("makes grpc-timeout %s into %s", (given, clamped) => {
    const headers = new Headers({ "grpc-timeout": given });
    clampDeadline(headers);
    expect(headers.get("grpc-timeout")).toBe(clamped);
  });

  it.each([
    ["9999999999", "2147483647"],
    ["2147483647", "2147483647"],
    ["5", "5"],
    ["-1", "-1"],
  ])("makes connect-timeout-ms %s into %s", (given, clamped) => {
    const headers = new Headers({ "connect-timeout-ms": given });
    clampDeadline(headers);
    expect(headers.get("connect-timeout-ms")).toBe(clamped);
  });

  it("adds no deadline where there was none", () => {
    const headers = new Headers();
    clampDeadline(headers);
    expect([...headers]).toEqual([]);
  });
});

describe("jsonExcess", () => {
  it("counts members and items outside strings", () => {
    const many = (count: number) => Buffer.from(`{"job_ids":[${"null,".repeat(count)}null]}`);
    expect(jsonExcess(many(MAX_VALUES - 2))).toBeUndefined();
    expect(jsonExcess(many(MAX_VALUES - 1))).toBe("holds more than 250000 values");
    expect(jsonExcess(Buffer.from(JSON.stringify({ a: ",".repeat(MAX_VALUES) })))).toBeUndefined();
  });

  const deep = (levels: number): Uint8Array => Buffer.from("[".repeat(levels) + "]".repeat(levels));

  it("counts objects and arrays", () => {
    expect(jsonExcess(deep(MAX_JSON_DEPTH))).toBeUndefined();
    expect(jsonExcess(deep(MAX_JSON_DEPTH + 1))).toMatch(/deeper/);
    expect(jsonExcess(Buffer.from('{"a":'.repeat(MAX_JSON_DEPTH + 1)))).toMatch(/deeper/);
  });

  it("does not count brackets in strings, also after escaped quotes", () => {
    expect(jsonExcess(Buffer.from(JSON.stringify({ a: `"\\"${"[".repeat(1000)}` })))).toBeUndefined();
  });

  it("counts again after a string has ended", () => {
    expect(jsonExcess(Buffer.from(`["a\\\\",${"[".repeat(MAX_JSON_DEPTH)}`))).toMatch(/deeper/);
  });

  it("forgets what was closed", () => {
    expect(jsonExcess(Buffer.from(`[${"[],".repeat(1000)}[]]`))).toBeUndefined();
  });
});
