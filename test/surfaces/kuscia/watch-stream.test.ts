import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  EventType,
  type WatchJobEventResponse,
  WatchJobEventResponseSchema,
  WatchJobRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/job_pb.js";
import { watchStream } from "../../../src/surfaces/kuscia/watch-stream.js";
import type { JobFrame } from "../../../src/watch.js";
import { definitionOf, FakeHub, viewOf } from "../../fakes.js";
import { MASTER } from "../../front.js";

const frame = (revision: bigint): JobFrame => ({
  kind: "Modified",
  from: revision,
  revision,
  inSnapshot: false,
  view: viewOf(definitionOf("job-1")),
});

let hub: FakeHub;
beforeEach(() => {
  hub = new FakeHub();
});

function open(init: MessageInitShape<typeof WatchJobRequestSchema> = {}, signal = new AbortController().signal) {
  const wake = vi.fn();
  return { wake, stream: watchStream(hub).open(create(WatchJobRequestSchema, init), { actor: MASTER, signal, wake }) };
}

function decode(messages: readonly Uint8Array[]): WatchJobEventResponse[] {
  return messages.map((bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    expect([view.getUint8(0), view.getUint32(1)]).toEqual([0, bytes.length - 5]);
    return fromBinary(WatchJobEventResponseSchema, bytes.subarray(5));
  });
}

describe("WatchJob as a shared stream", () => {
  it("gives all that is ready, within the size, and wakes for more", () => {
    hub.present = [frame(3n), frame(4n)];
    const { stream, wake } = open();
    expect(decode(stream.take(1)).map((event) => event.revision)).toEqual([3n]);
    expect(decode(stream.take(1e6)).map((event) => [event.type, event.revision])).toEqual([
      [EventType.MODIFIED, 4n],
      [EventType.HEARTBEAT, 7n],
    ]);
    expect(stream.take(1e6)).toEqual([]);
    expect(stream.ended).toBeUndefined();
    hub.emit(frame(8n));
    expect(wake).toHaveBeenCalled();
    expect(decode(stream.take(1e6)).map((event) => event.revision)).toEqual([8n]);
  });

  it("encodes a frame once for all streams", () => {
    hub.present = [frame(3n)];
    expect(open().stream.take(1)[0]).toBe(open().stream.take(1)[0]);
  });

  it("ends after an ERROR, when its time is over, with the signal's reason, or because the hub stops", async () => {
    const failed = open().stream;
    hub.emit({ kind: "Error", message: "slow", revision: 9n });
    expect(decode(failed.take(1e6)).at(-1)).toMatchObject({ type: EventType.ERROR, revision: 9n });
    expect(failed.ended).toEqual({});

    const timed = open({ timeoutSeconds: 1n });
    timed.stream.take(1e6);
    await vi.waitFor(() => expect(timed.stream.ended).toEqual({}), 5_000);
    expect(timed.wake).toHaveBeenCalled();

    const leaving = new AbortController();
    const left = open({}, leaving.signal).stream;
    leaving.abort("left");
    expect(left.ended).toEqual({ error: "left" });

    const stopped = open().stream;
    hub.stop();
    expect(stopped.ended).toMatchObject({ error: { reason: "Unavailable" } });
  });

  it("refuses what WatchJob refuses", () => {
    expect(() => open({ timeoutSeconds: -1n })).toThrow(/timeout_seconds/);
  });
});
