/** The verbs of app images. What a running job uses is a snapshot, so none of these touch jobs that are there. */

import { createHash } from "node:crypto";
import { checkImages } from "./core/access.js";
import { invalid, JobError, quoted } from "./core/error.js";
import { type AppImage, imageNotFound } from "./core/image.js";
import { checkCommands, type ImageCommands } from "./core/image-commands.js";
import type { Actor } from "./core/job.js";
import { deleteImage, imagesByName, imagesPage, type StoredImage, writeImage } from "./store/images.js";
import type { Pool } from "./store/pool.js";

export interface ImagePage {
  readonly images: readonly AppImage[];
  /** Opaque; empty at the end. */
  readonly nextPageToken: string;
}

export interface Images {
  /** Errors: InvalidArgument, AlreadyExists, Forbidden. */
  create(image: AppImage, actor: Actor): Promise<void>;
  /** Replaces `image`; templates only where given. Errors: NotFound, InvalidArgument, Forbidden. */
  update(
    change: Pick<AppImage, "name" | "image"> & Partial<Pick<AppImage, "configTemplates" | "deployTemplates">>,
    actor: Actor,
  ): Promise<void>;
  /** Creates or replaces; for images that come with the server, e.g. from a folder of files. */
  put(image: AppImage): Promise<void>;
  /** Errors: NotFound, Forbidden. */
  remove(name: string, actor: Actor): Promise<void>;
  /** Errors: NotFound. */
  query(name: string, actor: Actor): Promise<AppImage>;
  /** In the order asked for. Errors: NotFound, naming every missing image. */
  queryMany(names: readonly string[], actor: Actor): Promise<readonly AppImage[]>;
  /** By name; `pageSize` 0 = 10, at most 1000. Errors: InvalidArgument for a bad token. */
  list(pageSize: number, pageToken: string, actor: Actor): Promise<ImagePage>;
}

export interface ImagesOptions {
  readonly pool: Pool;
  /** What images made through the API may execute. Jobs ask once more, also for each domain. */
  readonly commands: ImageCommands;
}

export function createImages(options: ImagesOptions): Images {
  const { pool } = options;

  const mayWrite = (image: AppImage, actor: Actor): void => {
    checkImages(actor);
    checkCommands(image, options.commands);
  };

  const one = async (name: string): Promise<AppImage> => {
    const stored = (await imagesByName(pool, [name]))[0];
    if (!stored) throw imageNotFound(name);
    return stored.image;
  };

  return {
    async create(image, actor) {
      mayWrite(image, actor);
      if (await writeImage(pool, digested(image), "create")) return;
      throw new JobError("AlreadyExists", `app image "${image.name}" already exists`, { metadata: { app_image: image.name } });
    },

    async update(change, actor) {
      // The file that an app is given may be what its command runs.
      const templates = change.deployTemplates ?? change.configTemplates;
      const image = { ...(await one(change.name)), ...change, ...(templates && { templatesFromApi: true as const }) };
      mayWrite(image, actor);
      if (!(await writeImage(pool, digested(image), "replace"))) throw imageNotFound(change.name);
    },

    async put(image) {
      await writeImage(pool, digested(image), "put");
    },

    async remove(name, actor) {
      checkImages(actor);
      if (!(await deleteImage(pool, name))) throw imageNotFound(name);
    },

    async query(name, actor) {
      checkImages(actor);
      return one(name);
    },

    async queryMany(names, actor) {
      checkImages(actor);
      const found = new Map((await imagesByName(pool, names)).map(({ image }) => [image.name, image]));
      const missing = [...new Set(names)].filter((name) => !found.has(name));
      if (missing.length > 0) {
        const list = `${missing.length === 1 ? "image" : "images"} ${missing.map(quoted).join(", ")}`;
        throw new JobError("NotFound", `app ${list} not found`, { metadata: { app_image: missing.join(",") } });
      }
      return names.flatMap((name) => found.get(name) ?? []);
    },

    async list(pageSize, pageToken, actor) {
      checkImages(actor);
      if (pageSize < 0) throw invalid("page_size", `must not be negative, got ${pageSize}`);
      const limit = Math.min(pageSize === 0 ? 10 : pageSize, 1000);
      const stored = await imagesPage(pool, nameFromToken(pageToken), limit + 1);
      const images = stored.slice(0, limit).map(({ image }) => image);
      const last = images.at(-1);
      return { images, nextPageToken: stored.length > limit && last ? tokenFromName(last.name) : "" };
    },
  };
}

function digested(image: AppImage): StoredImage {
  return { image, digest: createHash("sha256").update(canonicalJson(image)).digest("hex") };
}

/** The token carries the last name shown; it gives no right, so it needs no signature. */
function tokenFromName(name: string): string {
  return Buffer.from(JSON.stringify({ after: name })).toString("base64url");
}

function nameFromToken(token: string): string {
  if (token === "") return "";
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
    if (typeof parsed === "object" && parsed !== null && "after" in parsed && typeof parsed.after === "string") return parsed.after;
  } catch {
    // Falls through to the one answer for every bad token.
  }
  throw invalid("page_token", "is not a token that this server gave");
}

/** Equal contents give equal text: keys in order at every level. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
