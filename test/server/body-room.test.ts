import { once } from "node:events";
import { connect } from "node:http2";
import { afterEach, describe, expect, it } from "vitest";
import { BodyRoom } from "../../src/server/body-room.js";
import { type Front, postJson, startFront } from "../front.js";

describe("the room for bodies", () => {
  it("is taken beyond the first bytes, and given back when the request is answered", () => {
    const room = new BodyRoom(100_000);
    const closes: (() => void)[] = [];
    const share = () => room.shareOf({ onClose: (listener) => closes.push(listener) });
    const [small, large, other] = [share(), share(), share()];
    expect(small.take(16_000)).toBe(true);
    expect(room.held).toBe(0);
    expect(large.take(100_000)).toBe(true);
    expect(other.take(40_000)).toBe(false);
    closes.splice(0).forEach((close) => close());
    expect(room.held).toBe(0);
    expect(share().take(110_000)).toBe(true);
  });
});

let front: Front | undefined;
afterEach(() => front?.server.stop());

const QUERY = "/kuscia.proto.api.v1alpha1.kusciaapi.JobService/QueryJob";

describe("bodies that nobody ends", () => {
  it("leave room for others when they go, and until then only so much in memory", async () => {
    front = await startFront({ maxBodyBytes: 1 << 20, maxBodiesBytes: 1 << 20 });
    const session = connect(front.url);
    const open = () => session.request({ ":method": "POST", ":path": QUERY, "content-type": "application/grpc", te: "trailers" });
    const first = open();
    // The callback comes when the server's windows have let all of it through.
    await new Promise((resolve) => first.write(Buffer.alloc(900_000), resolve));
    const refused = open();
    refused.write(Buffer.alloc(400_000));
    const [headers] = (await once(refused, "response")) as [Record<string, string>];
    const status = headers["grpc-status"] ?? ((await once(refused, "trailers")) as [Record<string, string>])[0]["grpc-status"];
    expect(status).toBe("8");
    const large = { job_id: "a", reason: "x".repeat(500_000) };
    expect((await postJson(`${front.url}/api/v1/job/stop`, large)).status).toBe(429);
    first.close();
    await once(first, "close");
    const answer = await postJson(`${front.url}/api/v1/job/stop`, large);
    expect(answer.status).toBe(200);
    session.destroy();
  });
});
