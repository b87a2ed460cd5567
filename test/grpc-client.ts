/** A gRPC client that knows only the .proto files: grpc-js, with messages read at run time and not from gen/. */

import { type ClientReadableStream, credentials, loadPackageDefinition, type ServiceClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PACKAGE = "kuscia.proto.api.v1alpha1.kusciaapi";

/** Messages as grpc-js gives them: snake_case names, enums as words, 64-bit numbers as text. */
export interface WireStatus {
  readonly code: number;
  readonly message: string;
}

export interface WireTask {
  readonly task_id: string;
  readonly alias: string;
  readonly state: string;
  readonly err_msg: string;
  readonly start_time: string;
  readonly end_time: string;
  readonly progress: number;
  readonly parties: readonly {
    readonly domain_id: string;
    readonly state: string;
    readonly err_msg: string;
    readonly endpoints: readonly { readonly port_name: string; readonly scope: string; readonly endpoint: string }[];
  }[];
}

export interface WireJob {
  readonly state: string;
  readonly err_msg: string;
  readonly create_time: string;
  readonly start_time: string;
  readonly end_time: string;
  readonly tasks: readonly WireTask[];
}

export interface WireAnswer {
  readonly status: WireStatus;
  readonly data: { readonly job_id: string; readonly status: WireJob | null; readonly jobs: readonly { readonly job_id: string; readonly status: WireJob }[] } | null;
}

export interface WireEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "ERROR" | "HEARTBEAT";
  readonly object: { readonly job_id: string; readonly status: WireJob } | null;
}

export interface GrpcClient {
  /** One unary call by its published name, e.g. `CreateJob`. Rejects with the transport's error. */
  call(method: string, request: object): Promise<WireAnswer>;
  /** WatchJob; ends when `cancel` is called on it. */
  watch(request?: object): ClientReadableStream<WireEvent> & AsyncIterable<WireEvent>;
  close(): void;
}

/** PEM texts of a client over TLS. */
export interface GrpcClientTls {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export function openGrpcClient(url: string, tls?: GrpcClientTls): GrpcClient {
  const definition = loadSync(
    ["kuscia/proto/api/v1alpha1/kusciaapi/job.proto", "kuscia/proto/api/v1alpha1/kusciaapi/appimage.proto"],
    { includeDirs: ["proto"], keepCase: true, enums: String, longs: String, defaults: true },
  );
  // The shape of a package read at run time is not known to the compiler; the names are checked as they are looked up.
  let services: unknown = loadPackageDefinition(definition);
  for (const part of PACKAGE.split(".")) services = (services as Record<string, unknown>)[part];
  const { JobService, AppImageService } = services as Record<string, ServiceClientConstructor>;
  if (!JobService || !AppImageService) throw new Error(`no services in ${PACKAGE}`);
  const address = url.replace(/^https?:\/\//, "");
  const channel = tls ? credentials.createSsl(bytes(tls.ca), bytes(tls.key), bytes(tls.cert)) : credentials.createInsecure();
  const open = [new JobService(address, channel), new AppImageService(address, channel)];
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        const client = open.find((each) => method in each);
        const stub: unknown = client?.[method];
        if (typeof stub !== "function") return reject(new Error(`no method ${method}`));
        stub.call(client, request, (error: Error | null, answer: WireAnswer) => (error ? reject(error) : resolve(answer)));
      }),
    watch(request = {}) {
      const stub: unknown = open[0]?.["WatchJob"];
      if (typeof stub !== "function") throw new Error("no method WatchJob");
      // grpc-js types a stream's items as unknown; the .proto says what they are.
      return stub.call(open[0], request) as ClientReadableStream<WireEvent> & AsyncIterable<WireEvent>;
    },
    close: () => {
      for (const client of open) client.close();
    },
  };
}

function bytes(pem: string | undefined): Buffer | null {
  return pem === undefined ? null : Buffer.from(pem);
}

/** Follows a job until its status fits; every event of it seen on the way is returned. */
export async function followJob(
  client: GrpcClient,
  jobId: string,
  fits: (job: WireJob) => boolean,
): Promise<{ readonly last: WireJob; readonly events: readonly WireEvent[] }> {
  const stream = client.watch();
  stream.on("error", () => undefined);
  const events: WireEvent[] = [];
  try {
    for await (const event of stream) {
      if (event.object?.job_id !== jobId) continue;
      events.push(event);
      if (fits(event.object.status)) return { last: event.object.status, events };
    }
  } finally {
    stream.cancel();
  }
  throw new Error(`the watch ended before ${jobId} was as expected`);
}
