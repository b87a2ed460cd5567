/** Content rules of an app image (Kuscia Job API, AppImage API). Paths are those of the wire message. */

import type {
  Container,
  CreateAppImageRequest,
  DeployTemplate,
  UpdateAppImageRequest,
} from "../../../gen/kuscia/proto/api/v1alpha1/kusciaapi/appimage_pb.js";
import { invalid, quoted } from "../../core/error.js";
import { PORT_SCOPES } from "../../core/image.js";
import { parseQuantity } from "../../core/quantity.js";

const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
const PORT_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Throws InvalidArgument with the first broken rule of a new image. */
export function checkNewImage(request: CreateAppImageRequest): void {
  checkNamed(request);
  if (!NAME.test(request.name)) throw invalid("name", `must match ${NAME.source}, got ${quoted(request.name)}`);
  if (request.deployTemplates.length === 0) throw invalid("deploy_templates", "must not be empty");
  checkTemplates(request.deployTemplates);
  checkMounts(request.deployTemplates, request.configTemplates);
}

/** The same for a change, whose templates may be left out. What mounts name is checked once the rest is known. */
export function checkChangedImage(request: UpdateAppImageRequest): void {
  checkNamed(request);
  checkTemplates(request.deployTemplates);
}

function checkNamed(request: CreateAppImageRequest | UpdateAppImageRequest): void {
  if (request.name === "") throw invalid("name", "must not be empty");
  if (!request.image?.name) throw invalid("image.name", "must not be empty");
}

function checkTemplates(templates: readonly DeployTemplate[]): void {
  templates.forEach((template, i) => {
    const path = `deploy_templates[${i}]`;
    if (template.name === "") throw invalid(`${path}.name`, "must not be empty");
    if (template.replicas < 0) throw invalid(`${path}.replicas`, `must not be negative, got ${template.replicas}`);
    if (template.containers.length === 0) throw invalid(`${path}.containers`, "must not be empty");
    const ports = new Map<string, string>();
    template.containers.forEach((container, j) => checkContainer(`${path}.containers[${j}]`, container, ports));
  });
}

/** `ports` holds the ports of the template so far: containers of one template share one set of names. */
function checkContainer(path: string, container: Container, ports: Map<string, string>): void {
  if (container.name === "") throw invalid(`${path}.name`, "must not be empty");
  container.ports.forEach((port, i) => {
    const at = `${path}.ports[${i}]`;
    if (!PORT_NAME.test(port.name)) throw invalid(`${at}.name`, `must match ${PORT_NAME.source}, got ${quoted(port.name)}`);
    const first = ports.get(port.name);
    if (first !== undefined) throw invalid(`${at}.name`, `"${port.name}" is taken by ${first}`);
    ports.set(port.name, at);
    if (port.scope !== "" && !PORT_SCOPES.some((scope) => scope === port.scope)) {
      throw invalid(`${at}.scope`, `must be one of ${PORT_SCOPES.join(", ")}, got ${quoted(port.scope)}`);
    }
  });
  container.configVolumeMounts.forEach((mount, i) => {
    if (mount.mountPath === "") throw invalid(`${path}.config_volume_mounts[${i}].mount_path`, "must not be empty");
  });
  container.env.forEach((variable, i) => {
    if (!/^[^=]+$/.test(variable.name)) {
      throw invalid(`${path}.env[${i}].name`, `must not be empty and must not contain =, got ${quoted(variable.name)}`);
    }
  });
  for (const kind of ["limits", "requests"] as const) {
    for (const resource of ["cpu", "memory"] as const) {
      const text = container.resources?.[kind]?.[resource] ?? "";
      if (text !== "" && parseQuantity(text) === undefined) {
        throw invalid(`${path}.resources.${kind}.${resource}`, `must be a quantity such as "500m" or "2Gi", got ${quoted(text)}`);
      }
    }
  }
}

interface Mounting {
  readonly containers: readonly { readonly configVolumeMounts: readonly { readonly subPath: string }[] }[];
}

/** Every mounted file must be there to be mounted. */
export function checkMounts(templates: readonly Mounting[], files: Readonly<Record<string, string>>): void {
  templates.forEach((template, i) =>
    template.containers.forEach((container, j) =>
      container.configVolumeMounts.forEach((mount, k) => {
        if (Object.hasOwn(files, mount.subPath)) return;
        const path = `deploy_templates[${i}].containers[${j}].config_volume_mounts[${k}].sub_path`;
        throw invalid(path, `${quoted(mount.subPath)} is not in config_templates`);
      }),
    ),
  );
}
