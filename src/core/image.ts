/**
 * An app image: what is started for a party of a task. A task keeps the digest of the content it was submitted with,
 * so a later change of the image never changes a job that is already there.
 * Shapes follow the Kuscia AppImage API (messages of `appimage.proto`).
 */

import { JobError, quoted } from "./error.js";

export const PORT_SCOPES = ["Cluster", "Domain", "Local"] as const;
export type PortScope = (typeof PORT_SCOPES)[number];

export interface ContainerPort {
  readonly name: string;
  /** `HTTP` or `GRPC`; told to the app, not checked on the wire. */
  readonly protocol: string;
  readonly scope: PortScope;
}

export interface ConfigVolumeMount {
  /** Where the file appears to the app. */
  readonly mountPath: string;
  /** Key of `configTemplates`. */
  readonly subPath: string;
}

export interface EnvironmentVariable {
  readonly name: string;
  readonly value: string;
}

export interface Container {
  readonly name: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly configVolumeMounts: readonly ConfigVolumeMount[];
  readonly ports: readonly ContainerPort[];
  readonly env: readonly EnvironmentVariable[];
  /** Parts of the wire message that the local runner keeps but does not act on (probes, env_from, resources, ...). */
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface DeployTemplate {
  readonly name: string;
  /** Comma-separated roles; empty = any. */
  readonly role: string;
  /** Instances per party, at least 1. */
  readonly replicas: number;
  readonly restartPolicy: string;
  readonly containers: readonly Container[];
}

export interface AppImage {
  readonly name: string;
  readonly image: { readonly name: string; readonly tag: string; readonly id: string; readonly sign: string };
  readonly configTemplates: Readonly<Record<string, string>>;
  readonly deployTemplates: readonly DeployTemplate[];
  /** Folder of the YAML file that the image was loaded from, empty for images made through the API. */
  readonly directory: string;
  /** True where templates of either kind have come through the API, although the image itself was loaded from a file. */
  readonly templatesFromApi?: true;
}

/**
 * The template for a role (Kuscia Job API, launch rules): the first that lists the role; else the last with an empty
 * role; else, for an empty role, the first; else none.
 */
export function templateForRole(image: AppImage, role: string): DeployTemplate | undefined {
  const listed = image.deployTemplates.find((template) => template.role.split(",").some((r) => r.trim() === role && r));
  if (listed) return listed;
  const anyRole = image.deployTemplates.filter((template) => template.role.trim() === "").at(-1);
  return anyRole ?? (role === "" ? image.deployTemplates[0] : undefined);
}

export function imageNotFound(name: string): JobError {
  return new JobError("NotFound", `app image ${quoted(name)} not found`, { metadata: { app_image: name } });
}
