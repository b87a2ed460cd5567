/** One real party against a partner that the test plays, over the wire. */

import { EventEmitter, once } from "node:events";
import http from "node:http";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Blinder, hashToPoints } from "../curve.mjs";
import { psiOrder, TwoParties, type Started } from "./parties.js";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const SESSION = "the-session-of-bob";
const KEYS = Array.from({ length: 50 }, (_, index) => `k${index + 10}`);
/** How the app writes a key of one column down before it hashes it. */
const HASHED = KEYS.map((key) => Buffer.from(`3:${key}`));

let parties: TwoParties;
let alice: Started;
let bob: http.Server;
let blinder: Blinder;
/** Alice's points, blinded by bob as well, in the order in which she sent them. */
let products: Buffer;
/** Paths that alice has asked bob for, in order; each is also an event of `asking`. */
let asked: string[];
let asking: EventEmitter;
beforeEach(async () => {
  parties = await TwoParties.create();
  await parties.write("alice", "alice-table.csv", `id1\n${KEYS.join("\n")}\n`);
  asked = [];
  asking = new EventEmitter();
  blinder = new Blinder();
  bob = http.createServer((request, response) => void answerAsBob(request, response));
  await once(bob.listen(parties.ports.bob, "127.0.0.1"), "listening");
  alice = await parties.start("alice", psiOrder());
  await alice.logged("met partner bob");
});
afterEach(async () => {
  bob.closeAllConnections();
  await once(bob.close(), "close");
  await parties.remove();
});

/** Agrees to all that alice was told, blinds her points, holds the line; asks nothing by itself. */
async function answerAsBob(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(Buffer.from(piece as Uint8Array)); // Raw bodies come as bytes.
  const body = Buffer.concat(pieces);
  const path = request.url ?? "";
  if (path === "/psi/hello") {
    const hello = JSON.parse(body.toString()) as object; // Sent by alice.
    response.end(JSON.stringify({ ...hello, party: "bob", session: SESSION }));
  } else if (path === "/psi/line") {
    response.writeHead(200).flushHeaders();
  } else {
    response.end(path.startsWith("/psi/points/") ? (products = blinder.blind(body)) : "");
  }
  asked.push(path);
  asking.emit(path);
}

function send(path: string, body: Uint8Array | string, session = SESSION, method = "POST"): Promise<Response> {
  const url = `http://127.0.0.1:${parties.ports.alice}${path}`;
  return fetch(url, { method, headers: { "x-psi-session": session }, ...(method === "GET" ? {} : { body }) });
}

/** A point of the curve: the base point of X25519. */
const POINT = Buffer.alloc(32);
POINT[0] = 9;

describe("a partner that does not keep to the protocol", () => {
  it.each([
    ["a point of small order", "/psi/points/0/last", Buffer.alloc(32), "the partner sent a curve point of small order"],
    ["half a point", "/psi/points/0/last", POINT.subarray(1), "the partner sent a broken list of curve points"],
    ["a key twice", "/psi/points/0/last", Buffer.concat([POINT, POINT]), "the partner sent a key twice"],
    ["a piece out of turn", "/psi/points/1/last", POINT, "an unexpected request came from the partner"],
    ["a piece of no kind", "/psi/anything/0/last", POINT, "an unexpected request came from the partner"],
    ["half a number", "/psi/counts/0/last", Buffer.alloc(3), "the partner sent a broken list of counts"],
  ])("and sends %s ends the work, and is told so", async (_name, path, body, sentence) => {
    expect((await send(path, body)).status).toBe(422);
    expect(await alice.ended).toMatchObject({ code: 1, stderr: `${sentence}\n` });
    expect(asked.at(-1)).toBe("/psi/failed");
  });

  it("and sends a piece after the last ends the work", async () => {
    expect((await send("/psi/points/0/last", POINT)).status).toBe(200);
    expect((await send("/psi/points/1/last", POINT)).status).toBe(422);
    expect(await alice.ended).toMatchObject({ code: 1, stderr: "an unexpected request came from the partner\n" });
  });
});

describe("a request that is not the partner's", () => {
  it.each([
    ["of another session", "/psi/points/0/last", "POST", POINT, 409],
    ["for the line", "/psi/line", "GET", "", 409],
    ["that says fin", "/psi/fin", "POST", "", 409],
    ["that greets as bob once more", "/psi/hello", "POST", "hello of another bob", 409],
    ["that greets as carol", "/psi/hello", "POST", '{"party":"carol"}', 400],
    ["that greets with nonsense", "/psi/hello", "POST", "{", 400],
    ["that says bob has failed", "/psi/failed", "POST", '{"party":"bob","task_id":"job-psi"}', 200],
    ["that is larger than any of the partner", "/psi/points/0/last", "POST", Buffer.alloc(300_000), 400],
  ])("%s is refused and changes nothing", async (_name, path, method, body, status) => {
    const hello = { version: "muster-psi 1", party: "bob", session: "x", task_id: "t", component: "c", settings: "s" };
    const text = body === "hello of another bob" ? JSON.stringify(hello) : body;
    expect((await send(path, text, "another-session", method)).status).toBe(status);
    // Alice still works with bob, and it is bob's doing that ends it.
    expect((await send("/psi/points/0/more", POINT)).status).toBe(200);
    expect((await send("/psi/points/1/last", Buffer.alloc(32))).status).toBe(422);
    expect((await alice.ended).stderr).toBe("the partner sent a curve point of small order\n");
  });
});

it("a partner that answers nothing any more is gone", async () => {
  bob.closeAllConnections();
  await once(bob.close(), "close");
  expect(await alice.ended).toMatchObject({ code: 1, stderr: "partner bob ended before the work was done\n" });
  await once(bob.listen(parties.ports.bob, "127.0.0.1"), "listening");
});

it("a line that a gateway cuts is opened again", async () => {
  const openedAgain = once(asking, "/psi/line");
  bob.closeAllConnections();
  await openedAgain;
  expect((await send("/psi/failed", '{"party":"bob","task_id":"job-psi"}')).status).toBe(200);
  expect((await alice.ended).stderr).toBe("partner bob failed\n");
});

it("a partner that says it has failed ends the work", async () => {
  expect((await send("/psi/failed", '{"party":"bob","task_id":"job-psi"}')).status).toBe(200);
  expect(await alice.ended).toMatchObject({ code: 1, stderr: "partner bob failed\n" });
  expect(asked).not.toContain("/psi/failed");
});

it("a party stays until its partner has said fin too, and only then shows its output", async () => {
  const fin = once(asking, "/psi/fin");
  const points = blinder.blind(hashToPoints(HASHED.slice(1, 2)));
  const answer = await send("/psi/points/0/last", points);
  expect((await answer.arrayBuffer()).byteLength).toBe(32);
  expect((await send("/psi/counts/0/last", Buffer.from([3, 0, 0, 0]))).status).toBe(200);
  await fin;
  await expect(parties.read("alice", "psi-output.csv")).rejects.toThrow("ENOENT");
  expect((await send("/psi/fin", "")).status).toBe(200);
  expect(await alice.ended).toMatchObject({ code: 0, stderr: "" });
  expect(await parties.read("alice", "psi-output.csv")).toBe(
    ["id1", KEYS[0], KEYS[1], KEYS[1], KEYS[1], ...KEYS.slice(2), ""].join("\n"),
  );
});

it("a party's points come in another order than its rows", async () => {
  const inFileOrder = await send("/psi/points/0/last", blinder.blind(hashToPoints(HASHED)));
  const twice = Buffer.from(await inFileOrder.arrayBuffer());
  while (!asked.includes("/psi/points/0/last")) await once(asking, "/psi/points/0/last");
  const names = (points: Buffer) => KEYS.map((_, index) => points.toString("hex", index * 32, (index + 1) * 32));
  expect(new Set(names(products))).toEqual(new Set(names(twice)));
  expect(names(products)).not.toEqual(names(twice));
});
