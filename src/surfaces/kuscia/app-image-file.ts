/**
 * App images from a folder of YAML files in Kuscia's own form (`kind: AppImage`). Their content has the same rules as
 * an image made through the API; faults are told with the file, the path of the field in it, and the rule.
 */

import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Document, parseAllDocuments } from "yaml";
import { z } from "zod";
import {
  type CreateAppImageRequest,
  CreateAppImageRequestSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { JobError } from "../../core/error.js";
import type { AppImage } from "../../core/image.js";
import { checkText } from "../../text.js";
import { checkNewImage } from "./app-image-rules.js";
import { imageFromRequest } from "./app-image-translate.js";

/**
 * Every image of the folder's `.yaml` and `.yml` files, in the order of their names; other files are passed over.
 * Throws InvalidArgument with the first fault, also where two files define one name.
 */
export async function loadAppImages(folder: string): Promise<AppImage[]> {
  const directory = resolve(folder);
  const files = (await readdir(directory)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const images: AppImage[] = [];
  const fileOf = new Map<string, string>();
  for (const name of files) {
    const file = join(directory, name);
    for (const image of imagesFromYaml(await readFile(file, "utf8"), file, directory)) {
      const other = fileOf.get(image.name);
      if (other !== undefined) throw fault(file, "metadata.name", `"${image.name}" is also defined in ${other}`);
      fileOf.set(image.name, file);
      images.push(image);
    }
  }
  return images;
}

/** The images of one file, which may hold several documents. `file` is used in faults only. */
export function imagesFromYaml(text: string, file: string, directory: string): AppImage[] {
  const images: AppImage[] = [];
  for (const [index, document] of [...parseAllDocuments(text)].entries()) {
    const at = index === 0 ? file : `${file} (document ${index + 1})`;
    const value = valueOf(document, at);
    // What follows a last `---`.
    if (value === null) continue;
    images.push(imageFromRequest(requestFromDocument(value, at), directory));
  }
  return images;
}

function valueOf(document: Document.Parsed, file: string): unknown {
  try {
    if (document.errors[0]) throw document.errors[0];
    return document.toJS();
  } catch (error) {
    const message = error instanceof Error ? error.message : "cannot be read as YAML";
    throw new JobError("InvalidArgument", `${file}: ${message}`, { cause: error });
  }
}

function requestFromDocument(value: unknown, file: string): CreateAppImageRequest {
  const parsed = AppImageDocument.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw fault(file, yamlPath(issue?.path ?? []), issue?.message ?? "is no AppImage");
  }
  const { metadata, spec } = parsed.data;
  // The names of the file are the JSON names of the wire message.
  const request = fromJson(CreateAppImageRequestSchema, {
    name: metadata.name,
    image: spec.image,
    configTemplates: spec.configTemplates,
    deployTemplates: spec.deployTemplates.map(({ spec: pod, containers, restartPolicy, name, role, replicas }) => ({
      name,
      role,
      replicas,
      restartPolicy: pod?.restartPolicy ?? restartPolicy ?? "",
      // Checked by the schema below, and it came from YAML: plain JSON.
      containers: (pod?.containers ?? containers ?? []) as JsonValue,
    })),
  });
  try {
    checkText(CreateAppImageRequestSchema, request);
    checkNewImage(request);
  } catch (error) {
    if (!(error instanceof JobError) || error.field === undefined) throw error;
    const inSpec = spec.deployTemplates.map((template) => template.spec !== undefined);
    throw fault(file, yamlField(error.field, inSpec), error.message.slice(error.field.length + 2));
  }
  return request;
}

function fault(file: string, field: string, rule: string): JobError {
  return new JobError("InvalidArgument", `${file}: ${field}: ${rule}`, { field });
}

function yamlPath(path: readonly PropertyKey[]): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text.replace(/^\./, "") || "the document";
}

/** `deploy_templates[0].containers[1].name` -> `spec.deployTemplates[0].spec.containers[1].name`. */
function yamlField(field: string, inSpec: readonly boolean[]): string {
  if (field === "name") return "metadata.name";
  const camel = field.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const nested = camel.replace(/^deployTemplates\[(\d+)\]\.containers/, (start, index: string) =>
    inSpec[Number(index)] ? `deployTemplates[${index}].spec.containers` : start,
  );
  return `spec.${nested}`;
}

/** Ports of probes may be names or numbers. */
const portRef = z.union([z.string(), z.int().transform(String)]);
const quantity = z.union([z.string(), z.number().transform(String)]);
const resources = z.strictObject({ cpu: quantity.default(""), memory: quantity.default("") });
const seconds = z.int().default(0);

const Probe = z.strictObject({
  exec: z.strictObject({ command: z.array(z.string()).default([]) }).optional(),
  httpGet: z
    .strictObject({
      path: z.string().default(""),
      port: portRef,
      host: z.string().default(""),
      scheme: z.string().default(""),
      httpHeaders: z.array(z.strictObject({ name: z.string(), value: z.string() })).default([]),
    })
    .optional(),
  tcpSocket: z.strictObject({ port: portRef, host: z.string().default("") }).optional(),
  grpc: z.strictObject({ port: z.int(), service: z.string().default("") }).optional(),
  initialDelaySeconds: seconds,
  timeoutSeconds: seconds,
  periodSeconds: seconds,
  successThreshold: seconds,
  failureThreshold: seconds,
  terminationGracePeriodSeconds: seconds,
});

const Container = z.strictObject({
  name: z.string().default(""),
  command: z.array(z.string()).default([]),
  args: z.array(z.string()).default([]),
  workingDir: z.string().default(""),
  configVolumeMounts: z.array(z.strictObject({ mountPath: z.string(), subPath: z.string() })).default([]),
  ports: z
    .array(z.strictObject({ name: z.string(), protocol: z.string().default(""), scope: z.string().default("") }))
    .default([]),
  envFrom: z
    .array(
      z.strictObject({
        prefix: z.string().default(""),
        configMapRef: z.strictObject({ name: z.string() }).optional(),
        secretRef: z.strictObject({ name: z.string() }).optional(),
      }),
    )
    .default([]),
  env: z.array(z.strictObject({ name: z.string(), value: z.string().default("") })).default([]),
  resources: z.strictObject({ limits: resources.optional(), requests: resources.optional() }).optional(),
  livenessProbe: Probe.optional(),
  readinessProbe: Probe.optional(),
  startupProbe: Probe.optional(),
  imagePullPolicy: z.string().default(""),
});

const DeployTemplate = z.strictObject({
  name: z.string().default(""),
  role: z.string().default(""),
  replicas: z.int().default(1),
  spec: z
    .strictObject({ containers: z.array(Container).default([]), restartPolicy: z.string().default("") })
    .optional(),
  /** The form of the API, where the containers hang under the template itself. */
  containers: z.array(Container).optional(),
  restartPolicy: z.string().optional(),
  /** Read and not kept: the local runner has no network between parties that it could restrict. */
  networkPolicy: z.unknown().optional(),
});

const AppImageDocument = z.object({
  apiVersion: z.string().optional(),
  kind: z.literal("AppImage"),
  metadata: z.object({ name: z.string() }),
  spec: z.strictObject({
    image: z.strictObject({
      name: z.string().default(""),
      tag: z.string().default(""),
      id: z.string().default(""),
      sign: z.string().default(""),
    }),
    configTemplates: z.record(z.string(), z.string()).default({}),
    deployTemplates: z.array(DeployTemplate).default([]),
  }),
});
