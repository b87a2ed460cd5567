/** App images by name; contents by digest, kept as long as an image or a present job uses them. */

import type { AppImage } from "../core/image.js";
import { type Pool, read, storeError } from "./pool.js";

export interface StoredImage {
  readonly digest: string;
  readonly image: AppImage;
}

interface Row {
  readonly digest: string;
  readonly content: AppImage;
}

const imageFromRow = (row: Row): StoredImage => ({ digest: row.digest, image: row.content });

/** `mode` create: only where the name is free; replace: only where it is taken; put: always. Returns whether it was written. */
export async function writeImage(pool: Pool, stored: StoredImage, mode: "create" | "replace" | "put"): Promise<boolean> {
  const named = {
    create: "insert into app_images (name, digest) select $1, $2 on conflict (name) do nothing returning name",
    replace: "update app_images set digest = $2, updated_at = now() where name = $1 returning name",
    put: `insert into app_images (name, digest) select $1, $2
          on conflict (name) do update set digest = excluded.digest, updated_at = now() returning name`,
  } as const satisfies Record<typeof mode, string>;
  const text = `
    with let_go as (
      update app_image_contents c set touched_at = now() from app_images i
      where i.name = $1 and c.digest = i.digest and c.digest <> $2
    ), content as (
      insert into app_image_contents (digest, content) values ($2, $3)
      on conflict (digest) do update set touched_at = now()
    ), named as (${named[mode]})
    select name from named`;
  try {
    const { rowCount } = await pool.query(text, [stored.image.name, stored.digest, JSON.stringify(stored.image)]);
    return rowCount === 1;
  } catch (error) {
    throw storeError(error);
  }
}

/** Returns whether it was there. Contents that a present job may still use stay. */
export async function deleteImage(pool: Pool, name: string): Promise<boolean> {
  const text = `with gone as (delete from app_images where name = $1 returning name, digest),
    touched as (update app_image_contents c set touched_at = now() from gone where c.digest = gone.digest)
    select name from gone`;
  return (await read(pool, text, [name])).length === 1;
}

export async function imagesByName(pool: Pool, names: readonly string[]): Promise<StoredImage[]> {
  const text = "select digest, content from app_images join app_image_contents using (digest) where name = any ($1)";
  return (await read<Row>(pool, text, [names])).map(imageFromRow);
}

export async function imagesByDigest(pool: Pool, digests: readonly string[]): Promise<StoredImage[]> {
  return (await read<Row>(pool, "select * from app_image_contents where digest = any ($1)", [digests])).map(imageFromRow);
}

/** In the order of names, after `afterName`. */
export async function imagesPage(pool: Pool, afterName: string, limit: number): Promise<StoredImage[]> {
  const text = `select digest, content from app_images join app_image_contents using (digest)
    where name > $1 order by name limit $2`;
  return (await read<Row>(pool, text, [afterName, limit])).map(imageFromRow);
}

/** Removes contents that neither an image nor a present job uses, an hour after they were last written or let go of. */
export async function pruneImageContents(pool: Pool): Promise<number> {
  const text = `delete from app_image_contents c
    where c.touched_at < now() - interval '1 hour'
      and not exists (select from app_images i where i.digest = c.digest)
      and not exists (select from tasks t where t.image_digest = c.digest) returning digest`;
  return (await read(pool, text, [])).length;
}
