/** The LISTEN connection against a server of the test's own, which says what Postgres would, or does not. */

import { EventEmitter, once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Listener } from "../../src/store/listen.js";

/** A message of the Postgres protocol: its kind, its length, its content. */
function message(kind: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(content.length + 4);
  return Buffer.concat([Buffer.from(kind), length, content]);
}
const READY = message("Z", Buffer.from("I"));
const WELCOME = Buffer.concat([message("R", Buffer.alloc(4)), READY]);
const LISTENING = Buffer.concat([message("C", Buffer.from("LISTEN\0")), READY]);
const REFUSED = Buffer.concat([message("E", Buffer.from("SERROR\0C25006\0Mnot during recovery\0\0")), READY]);

let server: Server;
let listener: Listener;
const events = new EventEmitter();
const faults: unknown[] = [];
let hints = 0;

/** The next connection, once its client has sent its startup message. */
async function nextClient(): Promise<Socket> {
  // The event has one argument.
  const [socket] = (await once(server, "connection")) as [Socket];
  socket.on("error", () => undefined);
  await once(socket, "data");
  return socket;
}

/** Answers what the client sends next. */
async function answerNext(socket: Socket, answer: Buffer): Promise<void> {
  await once(socket, "data");
  socket.write(answer);
}

async function welcome(socket: Socket): Promise<void> {
  socket.write(WELCOME);
  await answerNext(socket, LISTENING);
}

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  // What `address` says of a TCP server.
  const { port } = server.address() as AddressInfo;
  faults.length = 0;
  hints = 0;
  listener = new Listener({
    connectionString: `postgresql://muster@127.0.0.1:${port}/muster?sslmode=disable`,
    pollMs: 60_000,
    onHint: () => {
      hints += 1;
      events.emit("hint");
    },
    onFault: (error) => {
      faults.push(error);
      events.emit("fault");
    },
  });
});
afterEach(async () => {
  await listener.stop();
  server.close();
});

test("a stop while it connects anew leaves no connection", async () => {
  const started = listener.start();
  const first = await nextClient();
  await welcome(first);
  await started;
  const reconnecting = nextClient();
  first.destroy();
  const second = await reconnecting;
  await listener.stop();
  const closed = once(second, "close");
  await welcome(second);
  await closed;
  expect([hints, faults]).toEqual([0, [expect.any(Error)]]);
});

test("a connection that may not listen is closed, and the next is tried", async () => {
  const started = listener.start();
  const first = await nextClient();
  await welcome(first);
  await started;
  const reconnecting = nextClient();
  first.destroy();
  const second = await reconnecting;
  const closed = once(second, "close");
  const third = nextClient();
  second.write(WELCOME);
  await answerNext(second, REFUSED);
  await closed;
  const hinted = once(events, "hint");
  await welcome(await third);
  await hinted;
  expect(faults.map(String)).toContain("error: not during recovery");
});

test("a start that is refused fails and leaves no connection", async () => {
  const started = listener.start();
  const refused = expect(started).rejects.toThrow("not during recovery");
  const socket = await nextClient();
  const closed = once(socket, "close");
  socket.write(WELCOME);
  await answerNext(socket, REFUSED);
  await Promise.all([refused, closed]);
});
