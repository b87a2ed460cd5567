/**
 * App images between the wire and the engine, both ways (Kuscia Job API, messages of appimage.proto).
 * Messages are checked before they are translated; see app-image-rules.ts.
 */

import { clone, create, fromJson, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import {
  type AppImageInfo,
  type Container as WireContainer,
  ContainerSchema,
  type CreateAppImageRequest,
  type DeployTemplate as WireTemplate,
  type DeployTemplateSchema,
  type QueryAppImageResponseDataSchema,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { type AppImage, type Container, type DeployTemplate, PORT_SCOPES } from "../../core/image.js";

/** `directory`: folder of the file that the image comes from, empty for images made through the API. */
export function imageFromRequest(request: CreateAppImageRequest, directory: string): AppImage {
  return {
    name: request.name,
    image: imageInfoFromWire(request.image),
    configTemplates: request.configTemplates,
    deployTemplates: request.deployTemplates.map(templateFromWire),
    directory,
  };
}

export function imageInfoFromWire(info: AppImageInfo | undefined): AppImage["image"] {
  return { name: info?.name ?? "", tag: info?.tag ?? "", id: info?.id ?? "", sign: info?.sign ?? "" };
}

/** Kuscia stores 0 replicas where none were given, and then starts nothing. Here none means the documented 1. */
export function templateFromWire(template: WireTemplate): DeployTemplate {
  return {
    name: template.name,
    role: template.role,
    replicas: template.replicas === 0 ? 1 : template.replicas,
    restartPolicy: template.restartPolicy,
    containers: template.containers.map(containerFromWire),
  };
}

function containerFromWire(container: WireContainer): Container {
  return {
    name: container.name,
    command: container.command,
    args: container.args,
    workingDir: container.workingDir,
    configVolumeMounts: container.configVolumeMounts.map(({ mountPath, subPath }) => ({ mountPath, subPath })),
    ports: container.ports.map((port) => ({
      name: port.name,
      protocol: port.protocol || "HTTP",
      scope: PORT_SCOPES.find((scope) => scope === port.scope) ?? "Local",
    })),
    env: container.env.map(({ name, value }) => ({ name, value })),
    extra: extraFromWire(container),
  };
}

/** What the engine keeps without reading it, as plain JSON: env_from, resources, probes, image_pull_policy. */
function extraFromWire(container: WireContainer): Readonly<Record<string, unknown>> {
  const rest = clone(ContainerSchema, container);
  rest.name = "";
  rest.workingDir = "";
  for (const list of [rest.command, rest.args, rest.configVolumeMounts, rest.ports, rest.env]) list.length = 0;
  // JSON of a message is always an object.
  return toJson(ContainerSchema, rest, { useProtoFieldName: true }) as Readonly<Record<string, unknown>>;
}

/** What the Query calls give back. */
export function imageDataFromImage(image: AppImage): MessageInitShape<typeof QueryAppImageResponseDataSchema> {
  return {
    name: image.name,
    image: { ...image.image },
    configTemplates: { ...image.configTemplates },
    deployTemplates: image.deployTemplates.map(templateFromCore),
  };
}

function templateFromCore(template: DeployTemplate): MessageInitShape<typeof DeployTemplateSchema> {
  const { name, role, replicas, restartPolicy } = template;
  return { name, role, replicas, restartPolicy, containers: template.containers.map(containerFromCore) };
}

function containerFromCore(container: Container): WireContainer {
  // `extra` was written by `extraFromWire`, so it is JSON of a Container.
  const kept = fromJson(ContainerSchema, container.extra as Parameters<typeof fromJson>[1], {
    ignoreUnknownFields: true,
  });
  const known = create(ContainerSchema, {
    name: container.name,
    command: [...container.command],
    args: [...container.args],
    workingDir: container.workingDir,
    configVolumeMounts: container.configVolumeMounts.map((mount) => ({ ...mount })),
    ports: container.ports.map((port) => ({ ...port })),
    env: container.env.map((variable) => ({ ...variable })),
  });
  return Object.assign(kept, {
    name: known.name,
    command: known.command,
    args: known.args,
    workingDir: known.workingDir,
    configVolumeMounts: known.configVolumeMounts,
    ports: known.ports,
    env: known.env,
  });
}
