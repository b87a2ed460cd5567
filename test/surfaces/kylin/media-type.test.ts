import { describe, expect, test } from "vitest";
import { mediaTypeFor } from "../../../src/surfaces/kylin/media-type.js";

const V2 = "application/vnd.apache.kylin-v2+json";
const JSON_TYPE = "application/json";

describe("an answer is of the v2 type where the client names it", () => {
  test.each([
    V2,
    "Application/Vnd.Apache.Kylin-V2+JSON",
    `${V2};charset=utf-8`,
    `${V2}, */*`,
    `application/json, ${V2}`,
    `text/html;q=0.9, ${V2};q=0.5`,
    `application/json;q=0.1,${V2};q=0.2`,
  ])("%s", (accept) => {
    expect(mediaTypeFor(accept)).toBe(V2);
  });
});

describe("and JSON where it takes that rather", () => {
  test.each([
    null,
    "",
    " , ",
    "*/*",
    "application/*",
    JSON_TYPE,
    "application/json; charset=utf-8",
    "text/html,application/xhtml+xml,*/*;q=0.8",
    `application/json,${V2};q=0.5`,
    `${V2};q=0, */*`,
    "application/vnd.apache.kylin-v4+json, application/json;q=0.1",
  ])("%s", (accept) => {
    expect(mediaTypeFor(accept)).toBe(JSON_TYPE);
  });
});

describe("there is none where it takes neither", () => {
  test.each([
    "application/vnd.apache.kylin-v4+json",
    "application/vnd.apache.kylin-v4-public+json",
    "text/html",
    "text/*",
    "application/json;q=0",
    "*/*;q=0",
    "application/*;q=0, */*",
    "application/json;q=nonsense",
    `${V2};q=0`,
  ])("%s", (accept) => {
    expect(mediaTypeFor(accept)).toBeUndefined();
  });
});
