import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { launchOf, OBEDIENT, Place } from "./harness.js";

let place: Place;
beforeEach(async () => {
  place = await Place.make();
});
afterEach(() => place.remove());

describe("room", () => {
  it("is given to as many as fit, then to none until some is given back", async () => {
    const open = await place.open({ capacity: { cpu: "2", memory: "1Gi" } });
    const need = (cpu: string, memory = ""): ReturnType<typeof launchOf> =>
      launchOf(OBEDIENT, [
        { domain: "alice", replicas: 3, resources: { cpu } },
        { domain: "bob", resources: { cpu: "250m", memory } },
      ]);
    const first = await open.runner.reserve(need("250m", "512Mi"));
    if (!first.granted) throw new Error(first.message);
    expect(await open.runner.reserve(need("1500m"))).toEqual({
      granted: false,
      message: "needs cpu 1.75, 1.5 of 2 free on this runner",
    });
    expect(await open.runner.reserve(need("1", "768Mi"))).toEqual({
      granted: false,
      message: "needs memory 768Mi, 512Mi of 1Gi free on this runner",
    });
    expect(await open.runner.reserve(need("4"))).toEqual({
      granted: false,
      message: "needs cpu 4.25, this runner has 2 in all: it cannot run here",
    });
    await open.runner.release(first.instances.map((instance) => instance.attemptUid));
    expect(await open.runner.reserve(need("1500m"))).toMatchObject({ granted: true });
  });

  it("is given back when an attempt ends", async () => {
    const open = await place.open({ capacity: { cpu: "1" }, portRange: [20_500, 20_500] });
    const launch = launchOf(OBEDIENT, [{ domain: "alice", resources: { cpu: "1" } }]);
    const { attemptUid } = await place.beginOne(open, launch);
    expect(await open.runner.reserve(launch)).toMatchObject({ granted: false });
    await open.runner.stop(attemptUid);
    await open.reports.end(attemptUid);
    expect(await open.runner.reserve(launch)).toMatchObject({ granted: true });
  });

  it("has no ports that are held or taken by someone else", async () => {
    const foreign = createServer().listen({ port: 0, host: "127.0.0.1" });
    await new Promise((resolve) => foreign.once("listening", resolve));
    const address = foreign.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    const open = await place.open({ portRange: [address.port, address.port] });
    expect(await open.runner.reserve(launchOf(OBEDIENT))).toEqual({
      granted: false,
      message: `needs 1 free ports, ${address.port}-${address.port} has fewer on this runner`,
    });
    await new Promise((resolve) => foreign.close(resolve));
    expect(await open.runner.reserve(launchOf(OBEDIENT))).toMatchObject({ granted: true });
  });

  it("is not given to domains that are not served", async () => {
    const open = await place.open({ domains: new Map([["alice", {}]]) });
    expect([open.runner.serves("alice"), open.runner.serves("bob")]).toEqual([true, false]);
    expect(await open.runner.reserve(launchOf(OBEDIENT, [{ domain: "bob" }]))).toEqual({
      granted: false,
      message: 'domain "bob" is not served here',
    });
  });

  it("that was given back is not started in", async () => {
    const open = await place.open();
    const launch = launchOf(OBEDIENT);
    const reservation = await open.runner.reserve(launch);
    if (!reservation.granted) throw new Error(reservation.message);
    const uid = reservation.instances[0]?.attemptUid ?? "";
    await open.runner.release([uid]);
    await open.runner.start(launch, reservation.instances);
    expect(await open.reports.end(uid)).toMatchObject({ reason: "AppNotStarted" });
  });
});
