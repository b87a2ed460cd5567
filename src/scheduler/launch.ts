/** From an open task to everything a runner needs, with the image's content as it was at submit. */

import { JobError, jobNotFound } from "../core/error.js";
import { type AppImage, templateForRole } from "../core/image.js";
import type { TaskLaunch } from "../runner.js";
import { imagesByDigest } from "../store/images.js";
import type { Pool } from "../store/pool.js";
import { inputOf, type OpenTask } from "../store/work.js";

const CACHED = 256;

export class LaunchBuilder {
  /** By digest, so an entry never goes stale; the oldest goes first. */
  readonly #images = new Map<string, AppImage>();

  constructor(readonly pool: Pool) {}

  async build({ jobUid, jobId, task, inputConfig }: OpenTask): Promise<TaskLaunch> {
    const image = await this.#image(task.imageDigest);
    const input = inputConfig ?? (await inputOf(this.pool, jobUid, task.index));
    if (input === undefined) throw jobNotFound(jobId);
    return {
      jobUid,
      jobId,
      taskIndex: task.index,
      taskId: task.definition.taskId,
      alias: task.definition.alias,
      number: task.attempt,
      inputConfig: input,
      image,
      parties: task.definition.parties.map((definition) => {
        const template = templateForRole(image, definition.role);
        if (!template) throw new JobError("Internal", `image "${image.name}" lost its template for role "${definition.role}"`);
        return { definition, template };
      }),
    };
  }

  async #image(digest: string): Promise<AppImage> {
    const cached = this.#images.get(digest);
    if (cached) return cached;
    const stored = (await imagesByDigest(this.pool, [digest]))[0];
    if (!stored) throw new JobError("Internal", `image content ${digest} is missing`);
    this.#images.set(digest, stored.image);
    const oldest = this.#images.keys().next().value;
    if (this.#images.size > CACHED && oldest !== undefined) this.#images.delete(oldest);
    return stored.image;
  }
}
