/** The standard gRPC health service (grpc.health.v1): of the whole server (empty name) and of each service. */

import { once } from "node:events";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../../../gen/health/v1/health_pb.js";

/** `isReady` is asked on every check; the services are those that the router serves. */
export function registerHealth(router: ConnectRouter, isReady: () => boolean): void {
  const names = (): ReadonlySet<string> => new Set(["", ...router.handlers.map((handler) => handler.service.typeName)]);
  const now = (): Serving => (isReady() ? Serving.SERVING : Serving.NOT_SERVING);
  router.service(Health, {
    check({ service }) {
      if (!names().has(service)) throw new ConnectError(`service "${service}" is not served`, Code.NotFound);
      return { status: now() };
    },
    list() {
      return { statuses: Object.fromEntries([...names()].map((name) => [name, { status: now() }])) };
    },
    async *watch({ service }, { signal }) {
      yield { status: names().has(service) ? now() : Serving.SERVICE_UNKNOWN };
      if (!signal.aborted) await once(signal, "abort");
      // The client has gone, or the server stops and says so.
      throw signal.reason;
    },
  });
}
